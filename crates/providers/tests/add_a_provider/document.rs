//! The document quotes this code.

const DOCUMENT: &str = include_str!("../../../../docs/add-a-provider.md");
const CODE: [&str; 2] = [include_str!("acme.rs"), include_str!("main.rs")];

#[test]
fn each_block_of_rust_in_the_document_is_in_the_code() {
    let blocks: Vec<&str> = DOCUMENT
        .split("```rust\n")
        .skip(1)
        .map(|rest| rest.split_once("```").expect("a block ends").0)
        .collect();
    assert!(blocks.len() >= 5, "only {} blocks of Rust", blocks.len());
    for block in blocks {
        assert!(
            CODE.iter().any(|code| code.contains(block)),
            "not in acme.rs or main.rs as it stands in docs/add-a-provider.md:\n{block}"
        );
    }
}
