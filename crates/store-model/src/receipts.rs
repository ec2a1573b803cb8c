use std::time::Duration;

use async_trait::async_trait;
use domain::{MessageId, Page, PageRequest, Receipt, ReceiptPosition};

use crate::Memory;
use store::{Receipts, StoreError, StoredReceipt};

#[async_trait]
impl Receipts for Memory {
    async fn store_receipt(&self, receipt: &Receipt) -> Result<Option<MessageId>, StoreError> {
        let _ = (receipt,);
        Err(StoreError::Refused("not built yet".to_owned()))
    }

    async fn match_receipts(&self, within: Duration, limit: u32) -> Result<u64, StoreError> {
        let _ = (within, limit);
        Err(StoreError::Refused("not built yet".to_owned()))
    }

    async fn receipts(
        &self,
        matched: Option<bool>,
        page: &PageRequest<ReceiptPosition>,
    ) -> Result<Page<StoredReceipt, ReceiptPosition>, StoreError> {
        let _ = (matched, page);
        Err(StoreError::Refused("not built yet".to_owned()))
    }

    async fn purge_receipts(&self, kept: Duration, limit: u32) -> Result<u64, StoreError> {
        let _ = (kept, limit);
        Err(StoreError::Refused("not built yet".to_owned()))
    }
}
