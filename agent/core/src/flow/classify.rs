//! Which protocol a connection speaks, and which of its ends asks: decided by evidence in the bytes, once.
//!
//! Ports are hints: they only turn weak evidence into a decision. What fits nothing is left alone.

use crate::model::{Role, Transport};
use crate::proto::{Descriptor, End, Evidence, Sample};

/// First bytes of both directions, and what is known besides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) transport: Transport,
    pub(crate) egress: &'a [u8],
    pub(crate) ingress: &'a [u8],
    /// Role of the observed end, if the kernel told it.
    pub(crate) role: Option<Role>,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    pub(crate) midway: bool,
    /// Whether the first bytes were egress.
    pub(crate) egress_first: bool,
    /// Protocols that already refused this connection, by table index.
    pub(crate) refused: u64,
    /// Whether nothing more will be waited for.
    pub(crate) last: bool,
}

/// What classification says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    /// This protocol (its index in the table), with the observed end in this role.
    Is(usize, Role),
    /// Wait for more bytes.
    Wait,
    /// No protocol of the table.
    Nothing,
}

/// Judges an opening against `table`.
pub(crate) fn classify(table: &[&'static Descriptor], opening: &Opening<'_>) -> Verdict {
    let mut best: Option<(Evidence, bool, usize, Role)> = None;
    let roles: &[Role] = match opening.role {
        Some(Role::Client) => &[Role::Client],
        Some(Role::Server) => &[Role::Server],
        None => &[Role::Client, Role::Server],
    };
    for (index, descriptor) in table.iter().enumerate() {
        if opening.refused >> index & 1 == 1 || descriptor.transport != opening.transport {
            continue;
        }
        for &role in roles {
            let sample = sample(opening, role);
            let evidence = (descriptor.detect)(&sample);
            let known_port = descriptor.ports.contains(&sample.port);
            if evidence > Evidence::No && best.is_none_or(|(e, port, ..)| (evidence, known_port) > (e, port)) {
                best = Some((evidence, known_port, index, role));
            }
        }
    }
    match best {
        Some((Evidence::Strong, _, index, role)) | Some((Evidence::Weak, true, index, role)) => Verdict::Is(index, role),
        Some((Evidence::Weak | Evidence::More, ..)) if !opening.last => Verdict::Wait,
        _ => Verdict::Nothing,
    }
}

fn sample<'a>(opening: &Opening<'a>, role: Role) -> Sample<'a> {
    let (client, server, port) = match role {
        Role::Client => (opening.egress, opening.ingress, opening.remote_port),
        Role::Server => (opening.ingress, opening.egress, opening.local_port),
    };
    let egress_is_client = role == Role::Client;
    let first = if opening.egress_first == egress_is_client { End::Client } else { End::Server };
    Sample { client, server, port, midway: opening.midway, first: Some(first) }
}
