use super::Bench;
impl Bench {
    pub(crate) async fn growth(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}
