//! From `proto/` to Rust: messages, the table of methods, the descriptors for reflection; with the feature `client` the
//! clients, too. No protoc is needed: protox reads the files.

use std::{env, error::Error, fmt::Write as _, fs, path::Path};

use prost_types::FileDescriptorSet;

const FILES: [&str; 2] = ["platform/events/v1/events.proto", "platform/iam/v1/iam.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    let files = compiler.file_descriptor_set();
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    // As protox encodes it: what prost does not know of a descriptor stays in.
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    fs::write(out.join("tables.rs"), tables(&files, &root)?)?;
    let mut config = prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure()
        .build_server(false)
        .build_client(env::var_os("CARGO_FEATURE_CLIENT").is_some())
        .build_transport(false)
        .compile_fds_with_config(files, config)?;
    Ok(())
}

/// The table of methods, and the files as they are.
fn tables(files: &FileDescriptorSet, root: &Path) -> Result<String, Box<dyn Error>> {
    let mut methods = String::new();
    for file in files.file.iter().filter(|file| FILES.contains(&file.name())) {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                let (request, response) =
                    (method.input_type().trim_matches('.'), method.output_type().trim_matches('.'));
                let (streams_in, streams_out) = (method.client_streaming(), method.server_streaming());
                assert!(
                    !streams_in && !streams_out,
                    "{path} streams; the operation table holds unary methods"
                );
                writeln!(
                    methods,
                    "    Method {{ path: {path:?}, request: {request:?}, response: {response:?} }},"
                )?;
            }
        }
    }
    let mut text = format!(
        "/// Every method of every contract.\npub const METHODS: &[Method] = &[\n{methods}];\n\n\
         /// The contracts themselves: name and text of each file.\npub const FILES: &[(&str, &str)] = &[\n"
    );
    for name in FILES {
        let path = root.join(name).canonicalize()?;
        writeln!(text, "    ({name:?}, include_str!({path:?})),")?;
    }
    text.push_str("];\n");
    Ok(text)
}
