//! Options for linking the shared library, and a link to it by its SONAME.

use std::env;
use std::path::Path;

const SONAME: &str = "libtransom.so.0";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,{SONAME}");
    // After dlclose, the threads of the library and its fork handler would run code that
    // is gone.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // A program that is linked with target/<profile>/libtransom.so looks for the SONAME when
    // it runs, and cargo makes no such link. target/<profile> is three folders above OUT_DIR;
    // in another layout the link is missing, which is no error.
    let out_dir = env::var_os("OUT_DIR").unwrap_or_default();
    if let Some(profile_dir) = Path::new(&out_dir).ancestors().nth(3) {
        link("libtransom.so", &profile_dir.join(SONAME));
    }
}

#[cfg(unix)]
fn link(original: &str, link: &Path) {
    let _ = std::os::unix::fs::symlink(original, link);
}

/// Does nothing: a library for Linux is not linked on Windows.
#[cfg(not(unix))]
fn link(_original: &str, _link: &Path) {}
