//! Whether a shared library is an ONNX Runtime that can be used, asked before it is relied upon.
//!
//! Given a path; promises the version, as `1.32`, of a library that has the interface used here, or why it is not one. The library stays
//! loaded from then on, as ONNX Runtime expects.

use std::ffi::{CStr, c_char, c_void};
use std::path::Path;

use super::OnnxRuntimeError as Error;

/// The entry point, and what it returns: `OrtGetApiBase` and `OrtApiBase` of onnxruntime_c_api.h, unchanged since 1.0. Any of the
/// pointers can be null in a library that only looks like one.
type GetApiBase = unsafe extern "system" fn() -> *const ApiBase;

#[repr(C)]
struct ApiBase {
    get_api: Option<unsafe extern "system" fn(version: u32) -> *const c_void>,
    get_version: Option<unsafe extern "system" fn() -> *const c_char>,
}

/// The version of the library at `path`.
pub(super) fn version(path: &Path) -> Result<String, Error> {
    // SAFETY: loading runs the library's initialisers, which is what a caller who names a library asks for.
    #[allow(unsafe_code)]
    let library = unsafe { libloading::Library::new(path) };
    let library = library.map_err(|error| Error::unloadable(path.to_path_buf(), &error))?;
    let needed = ort::MINOR_VERSION;
    // SAFETY: a function of this name has this type in every ONNX Runtime; one of another type under this name cannot be told.
    #[allow(unsafe_code)]
    let answer = unsafe {
        library
            .get::<GetApiBase>(b"OrtGetApiBase")
            .ok()
            .map(|get_base| ask(*get_base, needed))
    };
    // ONNX Runtime's threads and thread-local values do not survive being unloaded.
    std::mem::forget(library);
    let path = path.to_path_buf();
    match answer {
        None => Err(Error::NotOnnxRuntime { path }),
        Some(Err(reason)) => Err(Error::NoInterface { path, reason }),
        Some(Ok(answer)) => answer.short().ok_or_else(|| Error::TooOld {
            path,
            found: answer.version.clone(),
            needed,
        }),
    }
}

struct Answer {
    version: String,
    has_interface: bool,
}

impl Answer {
    /// `1.32`, of a version that has the interface and says so.
    fn short(&self) -> Option<String> {
        let mut parts = self.version.split('.');
        let (major, minor) = (parts.next()?, parts.next()?.parse::<u32>().ok()?);
        let new = major == "1" && minor >= ort::MINOR_VERSION;
        (new && self.has_interface).then(|| format!("{major}.{minor}"))
    }
}

/// # Safety
/// `get_base` is an `OrtGetApiBase`: what it returns is null or an `OrtApiBase`.
#[allow(unsafe_code)]
unsafe fn ask(get_base: GetApiBase, version: u32) -> Result<Answer, &'static str> {
    // SAFETY: by the caller's promise; the base is static, and the text a static C string.
    unsafe {
        let base = get_base().as_ref();
        let base = base.ok_or("OrtGetApiBase gives nothing")?;
        let get_version = base
            .get_version
            .ok_or("it has no function for its version")?;
        let get_api = base.get_api.ok_or("it has no function for its interface")?;
        let text = get_version();
        if text.is_null() {
            return Err("it gives no version");
        }
        let answer = Answer {
            version: CStr::from_ptr(text).to_string_lossy().into_owned(),
            has_interface: !get_api(version).is_null(),
        };
        // An old one has no such interface, and its version says why.
        if !answer.has_interface && answer.version.split('.').count() > 1 {
            let minor = answer.version.split('.').nth(1).map(str::parse::<u32>);
            if minor.is_some_and(|minor| minor.is_ok_and(|minor| minor >= version)) {
                return Err("it does not give the interface of its version");
            }
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern "system" fn version() -> *const c_char {
        c"1.32.0".as_ptr()
    }
    extern "system" fn old() -> *const c_char {
        c"1.10.0".as_ptr()
    }
    extern "system" fn nothing() -> *const c_char {
        std::ptr::null()
    }
    extern "system" fn api(_: u32) -> *const c_void {
        (&raw const WORKING).cast()
    }
    extern "system" fn no_api(_: u32) -> *const c_void {
        std::ptr::null()
    }

    static WORKING: ApiBase = ApiBase {
        get_api: Some(api),
        get_version: Some(version),
    };
    static NO_API: ApiBase = ApiBase {
        get_api: Some(no_api),
        get_version: Some(version),
    };
    static OLD: ApiBase = ApiBase {
        get_api: Some(no_api),
        get_version: Some(old),
    };
    static NO_VERSION: ApiBase = ApiBase {
        get_api: Some(api),
        get_version: Some(nothing),
    };
    static EMPTY: ApiBase = ApiBase {
        get_api: None,
        get_version: None,
    };

    /// What is said of a library whose entry point returns this.
    macro_rules! asked {
        ($base:expr) => {{
            extern "system" fn base() -> *const ApiBase {
                $base
            }
            // SAFETY: what it returns is null or an `ApiBase`.
            #[allow(unsafe_code)]
            unsafe {
                ask(base, ort::MINOR_VERSION)
            }
        }};
    }

    #[test]
    fn a_library_without_an_interface_is_refused_in_words() {
        assert_eq!(asked!(&raw const WORKING).unwrap().short().unwrap(), "1.32");
        let refused = [
            asked!(std::ptr::null()),
            asked!(&raw const NO_API),
            asked!(&raw const NO_VERSION),
            asked!(&raw const EMPTY),
        ];
        for answer in refused {
            assert!(answer.is_err_and(|reason| !reason.is_empty()));
        }
        // An old one is told by its version.
        assert_eq!(asked!(&raw const OLD).unwrap().short(), None);
    }
}
