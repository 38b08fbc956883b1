//! Records out, policies in: the running capture.

use super::ring::Ring;
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray};
use aya::{Ebpf, Pod};
use remora_ebpf::wire::{Counter, Malformed, OPENING, Policy, Record, decode};
use std::os::fd::AsFd;

/// A [`Policy`] as aya wants map values.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct PolicyValue(Policy);

// SAFETY: two `u32` without padding, any bit pattern valid, no pointer.
unsafe impl Pod for PolicyValue {}

/// A policy could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the capture policy of a connection could not be written: {0}")]
pub struct PolicyError(#[from] aya::maps::MapError);

/// Writes the openings that stand for a policy.
pub(super) fn set_openings(ebpf: &mut Ebpf, openings: &[([u8; OPENING], Policy)]) -> Result<(), &'static str> {
    let map = ebpf.map_mut("OPENINGS").ok_or("OPENINGS")?;
    let mut map: HashMap<_, [u8; OPENING], PolicyValue> = HashMap::try_from(map).map_err(|_| "hash map OPENINGS")?;
    openings.iter().try_for_each(|(opening, policy)| map.insert(opening, &PolicyValue(*policy), 0)).map_err(|_| "room in OPENINGS")
}

/// The reading end of a ring buffer; the kernel keeps it for as long as it is mapped.
fn ring(map: &Map) -> Option<Ring> {
    let Map::RingBuf(map) = map else { return None };
    let size = map.info().ok()?.max_entries();
    Ring::new(map.fd().as_fd(), size).map_err(|error| tracing::debug!(%error, "ring buffer not mapped")).ok()
}

/// The attached programs. Dropping it detaches them.
pub struct Captured {
    events: Ring,
    policies: HashMap<MapData, u64, PolicyValue>,
    generation: Array<MapData, u32>,
    counters: PerCpuArray<MapData, u64>,
    written: u32,
    _ebpf: Ebpf,
}

impl Captured {
    pub(super) fn new(mut ebpf: Ebpf) -> Result<Self, &'static str> {
        let mut take = |name: &'static str| ebpf.take_map(name).ok_or(name);
        let events = ring(&take("EVENTS")?).ok_or("ring buffer EVENTS")?;
        let policies = HashMap::try_from(take("POLICIES")?).map_err(|_| "hash map POLICIES")?;
        let generation = Array::try_from(take("POLICY_GENERATION")?).map_err(|_| "array POLICY_GENERATION")?;
        let counters = PerCpuArray::try_from(take("COUNTERS")?).map_err(|_| "array COUNTERS")?;
        Ok(Self { events, policies, generation, counters, written: 0, _ebpf: ebpf })
    }

    /// Hands at most `limit` waiting records to `each`. Returns how many there were.
    pub fn drain(&mut self, limit: usize, mut each: impl FnMut(Result<Record<'_>, Malformed>)) -> usize {
        self.events.drain(limit, |bytes| each(decode(bytes)))
    }

    /// Writes policies, each taken by the kernel at its connection's next burst.
    ///
    /// # Errors
    /// [`PolicyError`] for the first that the map refuses (it is full); the others are written.
    pub fn set_policies(&mut self, policies: impl IntoIterator<Item = (u64, Policy)>) -> Result<(), PolicyError> {
        let mut result = Ok(());
        let mut any = false;
        for (cookie, policy) in policies {
            any = true;
            if let Err(error) = self.policies.insert(&cookie, &PolicyValue(policy), 0) {
                result = result.and(Err(error.into()));
            }
        }
        if any {
            // Programs compare for equality, so that wrapping does no harm; 0 is what new sockets hold.
            self.written = self.written.wrapping_add(1).max(1);
            self.generation.set(0, &self.written, 0)?;
        }
        result
    }

    /// Forgets the policy of a connection that ended before the kernel took it.
    pub fn forget_policy(&mut self, cookie: u64) {
        // Absent is the common case: the kernel has taken it.
        let _ = self.policies.remove(&cookie);
    }

    /// Sum over all CPUs of one of the programs' counters.
    #[must_use]
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters.get(&(counter as u32), 0).map_or(0, |values| values.iter().sum())
    }
}
