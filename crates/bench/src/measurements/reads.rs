use super::Bench;
impl Bench {
    pub(crate) async fn reads(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}
