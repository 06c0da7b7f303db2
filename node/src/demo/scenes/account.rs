//! What can be shown afterwards: every receipt, every look, the whole log.

use client::auditor::{Auditor, HttpSource};
use client::{files, incident};
use proto::checkpoint::Checkpoint;
use proto::entry::Kind;
use proto::ids::UnixMillis;
use proto::receipt::{RECEIPT_BYTES_MAX, ReceiptFile};

use super::{Play, cast};
use crate::demo::DemoError;

impl Play<'_> {
    /// Every file is read back and verified with the roster alone; no node is asked.
    pub(super) fn verify_offline(&mut self) -> Result<(), DemoError> {
        self.narrator
            .scene("10. Every receipt is verified offline, with the roster alone");
        for path in &self.receipts.kept {
            let text = files::read_text(path, RECEIPT_BYTES_MAX)?;
            ReceiptFile::verify(&text, self.federation.roster(), &mut |_| {})?;
            self.counts.receipts_verified += 1;
        }
        self.narrator
            .line(&format!("{} receipts hold", self.counts.receipts_verified));
        self.narrator.shown(
            "Those from before the kill and from before the wipe too: a receipt needs no node, and \
             outlives any of them.",
        );
        Ok(())
    }

    /// Suppose the key of shop 1 is stolen: an insurer opens the access records.
    pub(super) async fn incident(&mut self) -> Result<(), DemoError> {
        self.narrator
            .scene("11. The key of shop 1 is thought stolen: an insurer lists what it looked at");
        let insurer = cast::INSURERS[0].0;
        let (session, key) = (self.session(insurer)?, self.cast.incident_key(insurer)?);
        let till = self.cast.secret(cast::SHOPS[0].0)?.public();
        let since = UnixMillis::new(0);
        let listed = incident::list(&session, key, &till, since, &mut |_, _| {}).await;
        let touched = listed.map_err(Box::new)?.touched;
        self.counts.looks_on_record = touched.len();
        let slots: usize = touched.iter().map(|look| look.slots.len()).sum();
        let coverages: usize = touched.iter().map(|look| look.coverages.len()).sum();
        self.narrator.line(&format!(
            "{} lookups: {slots} slot keys, {coverages} coverage keys",
            touched.len()
        ));
        if let Some(first) = touched.first() {
            let at = first.at.to_iso();
            self.narrator
                .line(&format!("the first at {at}, entry {}", first.entry));
        }
        // One lookup for each check; one that two nodes were asked is on record at both.
        let (listed, made) = (touched.len(), self.looks);
        if listed < made {
            return Err(DemoError::Unrecorded { listed, made });
        }
        self.narrator.shown(
            "No look is answered before it is on record, and whoever must know whom a thief looked \
             up can list it, to the last one.",
        );
        self.level().await
    }

    /// An auditor reads the whole log at each of the nodes, and replays the map.
    pub(super) async fn audit(&mut self) -> Result<(String, String), DemoError> {
        self.narrator
            .scene("12. An auditor verifies the log from entry 0, at each of the four nodes");
        let mut found: Option<Checkpoint> = None;
        for (name, addresses) in self.federation.addresses() {
            let source = HttpSource::new(&format!("http://{}", addresses.http))?;
            let auditor = Auditor::new(source, self.federation.roster().clone());
            let audit = auditor.audit(&mut |_| {}).await.map_err(Box::new)?;
            let own = Checkpoint {
                origin: self.federation.roster().origin().clone(),
                size: audit.checkpoint.size(),
                log_root: audit.checkpoint.log_root(),
                map_root: audit.checkpoint.map_root(),
            };
            let in_log = audit.counts.get(&Kind::Claim).copied().unwrap_or(0);
            let accepted = self.counts.claims;
            if in_log != accepted {
                return Err(DemoError::Claims { in_log, accepted });
            }
            if found.is_none() {
                for (kind, count) in &audit.counts {
                    self.narrator.line(&format!("{count:>6} {}", kind.as_str()));
                }
            }
            if found.as_ref().is_some_and(|found| *found != own) {
                return Err(DemoError::OtherRoots { member: name });
            }
            self.narrator
                .line(&format!("{name}: {} entries hold", own.size));
            self.counts.nodes_audited += 1;
            found = Some(own);
        }
        let found = found.ok_or(DemoError::Miscast)?;
        self.counts.entries_audited = found.size.get();
        self.narrator.line(&format!("log root  {}", found.log_root));
        self.narrator.line(&format!("map root  {}", found.map_root));
        self.narrator.shown(&format!(
            "Four nodes, one ledger: the same roots, recomputed from every entry, with each of the \
             {} accepted claims in it once.",
            self.counts.claims
        ));
        Ok((found.log_root.to_base64(), found.map_root.to_base64()))
    }
}
