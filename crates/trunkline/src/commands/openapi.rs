/// Prints the description of the HTTP API: openapi.json.
pub(crate) fn run() -> anyhow::Result<()> {
    super::print(server::openapi())
}
