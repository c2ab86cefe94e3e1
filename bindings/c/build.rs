//! How the shared library is linked, and the name programs look for it by.

use std::env;
use std::path::Path;

const SONAME: &str = "libtransom.so.0";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,{SONAME}");
    // Its threads, and what it has registered with the C library, would not
    // survive being unloaded by dlclose.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // Programs linked with target/<profile>/libtransom.so look for its SONAME
    // when they run. Cargo makes no such link: target/<profile> is three above
    // OUT_DIR. Where that does not hold, it is only missing.
    let out_dir = env::var_os("OUT_DIR").unwrap_or_default();
    if let Some(profile_dir) = Path::new(&out_dir).ancestors().nth(3) {
        let _ = std::os::unix::fs::symlink("libtransom.so", profile_dir.join(SONAME));
    }
}
