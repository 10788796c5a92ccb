//! Damaged files through reading, analysis and rewriting: whatever the bytes, a clean error or a valid result.

#[path = "../fuzz/exercise.rs"]
mod exercise;

use std::path::PathBuf;

use exercise::exercise;

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn every_byte(name: &str) {
    let bytes = std::fs::read(folder("seeds").join(name).with_extension("onnx")).unwrap();
    exercise(&bytes);
    for len in 0..bytes.len() {
        exercise(&bytes[..len]);
    }
    let mut damaged = bytes.clone();
    for at in 0..bytes.len() {
        for value in 0..=u8::MAX {
            damaged[at] = value;
            exercise(&damaged);
        }
        damaged[at] = bytes[at];
    }
}

/// One test for each seed, so that they run side by side.
macro_rules! seeds {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                every_byte(stringify!($name));
            }
        )*

        #[test]
        fn no_seed_is_forgotten() {
            let mut named = vec![$(concat!(stringify!($name), ".onnx")),*];
            named.sort();
            let files = std::fs::read_dir(folder("seeds")).unwrap();
            let files = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut files: Vec<String> = files.filter(|name| name.ends_with(".onnx")).collect();
            files.sort();
            assert_eq!(files, named);
        }
    };
}

seeds! {
    branches
    constants_as_inputs
    external
    functions
    fused
    loop_body
    silu
    storage
    strange
    training
}

/// What the fuzzer has found, each once a panic or a broken promise.
#[test]
fn what_the_fuzzer_has_found() {
    let mut seen = 0;
    for entry in std::fs::read_dir(folder("fuzz/regressions")).unwrap() {
        exercise(&std::fs::read(entry.unwrap().path()).unwrap());
        seen += 1;
    }
    assert!(seen > 0);
}
