//! Finds libvips by pkg-config. Everyday builds link the system's shared library; a build with `crt-static` links
//! everything statically, from the prefix that `tools/static-libs.sh` made (`PKG_CONFIG_PATH` names it).

use std::{env, process::Command};

/// What Rust's own link line or the C library brings already.
const LEFT_OUT: [&str; 6] = ["m", "pthread", "dl", "c", "rt", "gcc_s"];

/// What a static link ends with: aom, heif and highway are C++, glib resolves names, and all of them calculate.
const LAST: [&str; 3] = ["stdc++", "resolv", "m"];

fn main() {
    for name in ["PKG_CONFIG", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR", "PKG_CONFIG_SYSROOT_DIR"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let is_static = features.split(',').any(|feature| feature == "crt-static");
    let told = pkg_config(is_static);
    for folder in told.iter().filter_map(|word| word.strip_prefix("-L")) {
        println!("cargo:rustc-link-search=native={folder}");
    }
    let kind = if is_static { "static:-bundle" } else { "dylib" };
    for name in libraries(&told).into_iter().filter(|name| !is_static || !LAST.contains(name)) {
        println!("cargo:rustc-link-lib={kind}={name}");
    }
    if is_static {
        for name in LAST {
            println!("cargo:rustc-link-lib=static:-bundle={name}");
        }
    }
}

/// The flags of libvips, or the end of the build with what to do.
fn pkg_config(is_static: bool) -> Vec<String> {
    let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".to_owned());
    let mut command = Command::new(&program);
    if is_static {
        command.arg("--static");
    }
    command.args(["--libs", "vips >= 8.13"]);
    let remedy = if is_static {
        "run tools/static-libs.sh and set PKG_CONFIG_PATH to its prefix"
    } else {
        "run tools/setup.sh, or install libvips-dev (vips-devel, libvips)"
    };
    match command.output() {
        Ok(done) if done.status.success() => {
            String::from_utf8_lossy(&done.stdout).split_whitespace().map(str::to_owned).collect()
        }
        Ok(done) => {
            panic!("libvips 8.13 or newer is needed: {remedy}\n{}", String::from_utf8_lossy(&done.stderr))
        }
        Err(error) => panic!("{program} does not start ({error}): {remedy}"),
    }
}

/// The libraries in their order; of those named several times the last, as a linker that reads once needs them.
fn libraries(told: &[String]) -> Vec<&str> {
    let names: Vec<&str> = told.iter().filter_map(|word| word.strip_prefix("-l")).collect();
    let mut kept = Vec::new();
    for (at, name) in names.iter().enumerate() {
        if !LEFT_OUT.contains(name) && !names[at + 1..].contains(name) {
            kept.push(*name);
        }
    }
    kept
}
