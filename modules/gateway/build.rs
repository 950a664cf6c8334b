//! The console is carried in the binary: built anew, it is embedded anew.

fn main() -> std::io::Result<()> {
    // Without the folder, debug builds would not look for it again when the console has been built.
    std::fs::create_dir_all("../../web/dist")?;
    println!("cargo:rerun-if-changed=../../web/dist");
    Ok(())
}
