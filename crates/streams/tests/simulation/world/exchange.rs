//! What the streams do: packages, receipts, and what their two ends say of each other.

use super::*;

impl World {
    pub(super) fn filter_towards(&self, from: usize, remote: SiteId) -> Filter {
        self.filters.get(&(from, remote)).cloned().unwrap_or_default()
    }

    pub(super) fn outbound_to(&self, from: usize, remote: SiteId, limits: Option<(usize, usize)>) -> Outbound {
        let Filter { local_only, exclude_sites, tables } = self.filter_towards(from, remote);
        let format = match from % 3 {
            0 => Format::Json,
            1 => Format::Binary(Compression::None),
            _ => Format::Binary(Compression::Zstd),
        };
        let (package_changes_max, package_bytes_max) = limits.unzip();
        let package_bytes_max = package_bytes_max.unwrap_or(PACKAGE_BYTES_DEFAULT);
        let filter = OutboundOptions { local_only, exclude_sites, tables, ..Default::default() };
        let options = OutboundOptions { package_changes_max, package_bytes_max, format, ..filter };
        self.database(from).outbound_with(remote, &options)
    }

    pub(super) fn outbound(&self, from: usize, to: usize, limits: Option<(usize, usize)>) -> Outbound {
        self.outbound_to(from, self.database(to).site(), limits)
    }

    pub(super) fn inbound_from(&self, to: usize, remote: SiteId) -> Inbound {
        let options = self.receives.get(&(to, remote)).unwrap_or(&self.receive);
        self.database(to).streams().inbound(remote, options).expect("the stream opens")
    }

    pub fn inbound(&self, to: usize, from: usize) -> Inbound {
        self.inbound_from(to, self.database(from).site())
    }

    pub fn same_site(&self, a: usize, b: usize) -> bool {
        self.database(a).site() == self.database(b).site()
    }

    pub(super) fn filter(&mut self, link: usize, back: bool, kind: FilterKind) {
        let (from, to) = self.direction(link, back);
        let filter = match kind {
            FilterKind::All => Filter::default(),
            FilterKind::LocalOnly => Filter { local_only: true, ..Default::default() },
            FilterKind::Exclude(author) => {
                Filter { exclude_sites: vec![self.database(author).site()], ..Default::default() }
            }
            FilterKind::Tables(tables) => Filter { tables: Some(names(tables)), ..Default::default() },
        };
        self.filters.insert((from, self.database(to).site()), filter);
    }

    pub fn clear_filters(&mut self) {
        self.filters.clear();
        for options in self.receives.values_mut() {
            options.tables = None;
        }
    }

    pub(super) fn set_back(&mut self, link: usize, back: bool, version: usize) {
        let (from, to) = self.direction(link, back);
        let version = version as i64;
        if self.same_site(from, to) || version > self.database(from).streams().head().expect("a head") {
            return;
        }
        let outbound = self.outbound(from, to, None);
        let cursor = if version == 0 { Cursor::BEGINNING } else { Cursor::end_of_version(version) };
        // Forwards it is a promise of the user's, which may be wrong.
        if cursor <= outbound.position().expect("a position").acked {
            outbound.set_acked(&cursor).expect("the position can be set back");
        }
    }

    /// A session between two ends with one id cannot begin: one of them takes a new one.
    pub(super) fn tell_apart(&self, from: usize, to: usize) {
        if self.same_site(from, to) {
            self.database(from).streams().reidentify().expect("a new identity");
        }
    }

    pub(super) fn send(&mut self, from: usize, to: usize, limits: (usize, usize), packages: usize) {
        self.tell_apart(from, to);
        let from_site = self.database(from).site();
        let receipt = self.inbound(to, from).receipt().expect("a receipt");
        let outbound = self.outbound(from, to, Some(limits));
        let (mut after, mut produced) = (None, Vec::new());
        for _ in 0..packages {
            match self.read(from, &outbound, after.as_ref()) {
                Ok(Some(package)) => {
                    after = Some(package.end);
                    produced.push(Message::Package { to, from_site, bytes: package.package.as_bytes().to_vec() });
                }
                Ok(None) => break,
                Err(error) => {
                    self.heed(from, &error);
                    break;
                }
            }
        }
        self.network.extend(produced);
        self.network.push(Message::Receipt { to: from, receipt });
    }

    /// The next package. Who reads learns what became of its tables.
    pub(super) fn read(
        &self,
        at: usize,
        outbound: &Outbound,
        after: Option<&Cursor>,
    ) -> Result<Option<Produced>, StreamError> {
        let read = outbound.next(after);
        if read.is_ok() {
            self.remade.borrow_mut().remove(&at);
        }
        read
    }

    pub(super) fn deliver(&mut self, at: usize, again: bool, inside: Inside) {
        if self.network.is_empty() {
            return;
        }
        let at = at % self.network.len();
        let message = self.network[at].clone();
        self.hand_over(&message, inside);
        if !again && !matches!(inside, Inside::RolledBack) {
            self.network.remove(at);
            if self.arrived.len() < ARRIVED_MAX {
                self.arrived.push(message);
            }
        }
    }

    pub fn drain(&mut self) {
        while !self.network.is_empty() {
            self.deliver(0, false, Inside::Own);
        }
    }

    /// True where something has moved.
    pub(super) fn hand_over(&self, message: &Message, inside: Inside) -> bool {
        match message {
            Message::Package { to, from_site, bytes } => self.apply(*to, *from_site, bytes, inside),
            Message::Receipt { to, receipt } => {
                let database = self.database(*to);
                if receipt.sender != database.site() || receipt.receiver == database.site() {
                    return false;
                }
                let acknowledged = self.outbound_to(*to, receipt.receiver, None).acknowledge(receipt);
                acknowledged.map_or_else(|error| self.heed(*to, &error), |acknowledged| acknowledged.moved)
            }
        }
    }

    pub(super) fn apply(&self, to: usize, from_site: SiteId, bytes: &[u8], inside: Inside) -> bool {
        let database = self.database(to);
        if from_site == database.site() {
            return false;
        }
        let inbound = self.inbound_from(to, from_site);
        let applied = match inside {
            Inside::Own => inbound.apply(bytes),
            Inside::Callers => {
                database.run("BEGIN; INSERT OR REPLACE INTO u VALUES ('callers', 1)");
                let applied = inbound.apply(bytes);
                database.run("UPDATE t SET c = 'callers' WHERE id = 3; COMMIT");
                applied
            }
            Inside::RolledBack => {
                database.run("BEGIN");
                let applied = inbound.apply(bytes);
                database.run("ROLLBACK");
                applied
            }
        };
        applied.map_or_else(|error| self.heed(to, &error), |applied| applied.outcome == Outcome::Merged)
    }

    /// What a program does at an error of its stream. True where that makes a new identity.
    pub(super) fn heed(&self, at: usize, error: &StreamError) -> bool {
        match error {
            StreamError::IdentityChanged { side: Side::Here, .. } => {
                self.database(at).streams().reidentify().expect("a new identity");
                self.remade.borrow_mut().remove(&at);
                true
            }
            // The other side learns of it from the next receipt; what was misdirected is dropped; schemas catch up.
            StreamError::IdentityChanged { side: Side::Remote, .. }
            | StreamError::PeerMisbehaved(_)
            | StreamError::PeerIncompatible(_) => false,
            other => panic!("{other}"),
        }
    }

    /// Receipts first, then packages, each acknowledged. True where anything moved.
    pub fn session(&mut self, a: usize, b: usize) -> bool {
        self.tell_apart(a, b);
        let mut moved = false;
        for (from, to) in [(a, b), (b, a)] {
            moved |= self.receipt(from, to);
        }
        for (from, to) in [(a, b), (b, a)] {
            moved |= self.tell(from, to);
        }
        moved
    }

    /// The streams between two, for messages.
    pub fn show(&self, a: usize, b: usize) -> String {
        let one = |index: usize, other: usize| {
            let (database, remote) = (self.database(index), self.database(other).site());
            let streams = database.streams().list().expect("the streams are listed");
            let streams: Vec<String> =
                streams.iter().filter(|row| row.remote == remote).map(|row| format!("\n  {row:?}")).collect();
            format!("\n{index} is {}: {}", database.site(), streams.concat())
        };
        if self.same_site(a, b) { format!("both are {}", self.database(a).site()) } else { one(a, b) + &one(b, a) }
    }

    pub(super) fn receipt(&self, from: usize, to: usize) -> bool {
        let receipt = self.inbound(to, from).receipt().expect("a receipt");
        self.hand_over(&Message::Receipt { to: from, receipt }, Inside::Own)
    }

    /// Ends where one of the two takes a new id.
    pub(super) fn tell(&self, from: usize, to: usize) -> bool {
        let ids = || (self.database(from).site(), self.database(to).site());
        let before = ids();
        let mut moved = false;
        for _ in 0..PACKAGES_MAX {
            let produced = match self.read(from, &self.outbound(from, to, Some((3, SMALL))), None) {
                Ok(Some(produced)) => produced,
                Ok(None) => break,
                Err(error) => return self.heed(from, &error) || moved,
            };
            let mut taken = self.apply(to, before.0, produced.package.as_bytes(), Inside::Own);
            moved |= taken;
            if ids() != before {
                return true;
            }
            taken |= self.receipt(from, to);
            moved |= taken;
            if !taken || ids() != before {
                break;
            }
        }
        moved
    }

    /// Where the sender says that nothing is pending and the receipt is at its head, the receiver must have everything.
    /// True where they say so.
    pub fn compare(&self, from: usize, to: usize) -> Result<bool, String> {
        if self.same_site(from, to) {
            return Ok(false);
        }
        let (sender, receiver) = (self.database(from), self.database(to));
        let receipt = self.inbound(to, from).receipt().expect("a receipt");
        let outbound = self.outbound(from, to, None);
        let acknowledged = match outbound.acknowledge(&receipt) {
            Ok(acknowledged) => acknowledged,
            Err(error) => {
                self.heed(from, &error);
                return Ok(false);
            }
        };
        let head = sender.streams().head().expect("a head");
        if head == 0 {
            return Ok(true);
        }
        let stands = receipt.position.map(|position| position.cursor);
        let in_sync = acknowledged.took
            && outbound.pending().expect("a count") == 0
            && stands == Some(Cursor::end_of_version(head));
        // Who has given up the history of a table finds out at its next read, as at a restored file.
        if !in_sync || self.remade.borrow().contains(&to) {
            return Ok(false);
        }
        let staged = self.inbound(to, from).staged_bytes().expect("a count");
        if staged > 0 {
            let what = format!("{from} and {to} are in sync at {head}, and {staged} bytes of it are staged");
            return Err(what + &self.show(from, to));
        }
        let filter = self.filter_towards(from, receiver.site());
        let accepted = self.receives.get(&(to, sender.site())).and_then(|options| options.tables.clone());
        let mut own = sender.streams().former_ids().expect("the former ids");
        own.push(sender.site());
        let told = |change: &Change| {
            let of =
                |tables: &Option<Vec<String>>| tables.as_ref().is_none_or(|t| t.iter().any(|t| **t == *change.table));
            of(&filter.tables)
                && of(&accepted)
                && !filter.exclude_sites.contains(&change.site_id)
                && (!filter.local_only || own.contains(&change.site_id))
        };
        match Knowledge::with_waiting(receiver, &[]).lacks(&Knowledge::of(sender, told)) {
            None => Ok(true),
            Some(what) => Err(format!(
                "{from} and {to} say that they are in sync at {head}, but {to} lacks {what}{}",
                self.show(from, to)
            )),
        }
    }
}
