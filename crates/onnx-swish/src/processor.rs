//! Which processor this is, for the foot of a benchmark.
//!
//! Given nothing; promises a name that people know, or at least the architecture.

/// The processor's name where the operating system tells it, else the architecture's, such as `aarch64`.
pub(crate) fn name() -> String {
    // Linux. What others offer takes a call of their own, and nobody's figures are worth a dependency for it.
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = told.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    named
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}
