//! Compiles the schema with protox, so that nobody has to install protoc.

use std::path::PathBuf;
use std::{env, fs};

use protox::prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let concepts = [
        "access",
        "ceremony",
        "claims",
        "evaluator",
        "ledger",
        "log",
        "payload",
        "quote",
        "receipt",
        "refusal",
        "replication",
        "engine",
    ];
    let files = concepts.map(|concept| format!("vitrail/v1/{concept}.proto"));
    let descriptors = protox::compile(files, ["schema"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // The same descriptors as bytes: reflection serves them, the method table is tested with them.
    fs::write(out.join("vitrail.v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_transport(false)
        .compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=schema");
    Ok(())
}
