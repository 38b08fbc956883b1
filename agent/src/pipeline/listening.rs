//! Reports where each entity listens: all that the kernel's tables have, in every network namespace.
//!
//! They are what is true now, so that a listener that existed before the agent, was inherited by a child or ended unseen is
//! counted like any other.

use super::parties::Parties;
use super::wanted::Wanted;
use crate::aggregate::Aggregate;
use crate::aggregate::tcp::Listening;
use crate::entity::table::EntityId;
use crate::trace::Reported;
use remora_core::model::Mono;
use rustc_hash::FxHashSet;
use std::net::SocketAddr;

/// What was reported last.
#[derive(Default)]
pub(super) struct Reporting {
    reported: FxHashSet<(EntityId, SocketAddr)>,
    generation: u64,
}

impl Reporting {
    /// Tells `aggregate` what has changed, if anything about entities has.
    pub(super) fn report(&mut self, parties: &Parties, wanted: &Wanted, aggregate: &mut Aggregate<EntityId>, at: Mono) {
        let generation = parties.entities.generation();
        if generation == self.generation {
            return;
        }
        self.generation = generation;
        let listening = parties.entities.listening();
        let is_reported = listening.addresses.iter().filter_map(|&(pid, address)| {
            let entity = parties.entities.known(pid)?;
            let wanted = wanted.port(parties, Some(pid), &entity, Some(address.port()).into());
            (wanted == Reported::Yes).then_some((entity.id, address))
        });
        let now: FxHashSet<_> = is_reported.collect();
        for &(entity, address) in self.reported.difference(&now) {
            aggregate.listening(entity, address, Listening::Ends, at);
        }
        for &(entity, address) in now.difference(&self.reported) {
            aggregate.listening(entity, address, Listening::Begins, at);
        }
        self.reported = now;
    }
}
