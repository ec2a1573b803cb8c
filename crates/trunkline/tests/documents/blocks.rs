//! Finds the commands in a document.

/// Languages of fences that look like commands but are not run.
const UNCLEAR: [&str; 5] = ["", "bash", "shell", "zsh", "shell-session"];

/// Commands in a document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The document and the line, as editors find them.
    pub(crate) place: String,
    /// The commands.
    pub(crate) text: String,
}

/// The `sh` blocks of a document, in order.
pub(crate) fn blocks(name: &str, document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, Block)> = None;
    for (number, line) in (1..).zip(document.lines()) {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(language), None) => {
                let place = format!("{name}:{number}");
                assert!(
                    !UNCLEAR.contains(&language.trim()),
                    "{place}: say `sh` for commands that the tests carry out, `console` for others, `text` for the rest"
                );
                let text = String::new();
                open = Some((language.trim().to_owned(), Block { place, text }));
            }
            (Some(_), Some(_)) => {
                blocks.extend(
                    open.take()
                        .filter(|(language, _)| language == "sh")
                        .map(|(_, block)| block),
                );
            }
            (None, Some((_, block))) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert_eq!(open, None, "a block never ends");
    blocks
}

#[test]
fn only_commands_are_taken() {
    let document = "# Hi\n```sh\na \\\n  b\n```\n```text\nno\n```\n- x\n  ```sh\n  c\n  ```\n";
    let found = blocks("d.md", document);
    let found: Vec<(&str, &str)> = found.iter().map(|block| (&*block.place, &*block.text)).collect();
    assert_eq!(found, [("d.md:2", "a \\\n  b\n"), ("d.md:10", "  c\n")]);
    let unclear = std::panic::catch_unwind(|| blocks("d.md", "```bash\nrm\n```\n"));
    assert!(unclear.is_err());
}
