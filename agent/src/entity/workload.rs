//! Which workload a pod belongs to, by what the pod itself carries: the labels that controllers put on it, and its name.
//!
//! Labels are proof and give `k8s.*.name`. A name alone only allows a guess that is good enough for `service.name` where
//! nothing better is known, never for an attribute that claims a kind.

use std::collections::BTreeMap;

/// A controller of pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Deployment.
    Deployment(String),
    /// StatefulSet.
    StatefulSet(String),
    /// DaemonSet.
    DaemonSet(String),
    /// Job.
    Job(String),
    /// CronJob, with the Job that it made.
    CronJob {
        /// The CronJob.
        name: String,
        /// Its Job.
        job: String,
    },
}

impl Workload {
    /// Name of the outermost controller.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Deployment(name) | Self::StatefulSet(name) | Self::DaemonSet(name) | Self::Job(name) | Self::CronJob { name, .. } => name,
        }
    }
}

/// Letters that Kubernetes makes random suffixes from (apimachinery `rand.SafeEncodeString`): no vowels, no look-alikes.
fn is_random(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte))
}

/// Splits `BASE-SUFFIX` where the suffix is a random one of five letters.
fn strip_random(name: &str) -> Option<&str> {
    let (base, suffix) = name.rsplit_once('-')?;
    (suffix.len() == 5 && is_random(suffix) && !base.is_empty()).then_some(base)
}

fn strip_ordinal(name: &str) -> Option<&str> {
    let (base, ordinal) = name.rsplit_once('-')?;
    (!ordinal.is_empty() && ordinal.bytes().all(|byte| byte.is_ascii_digit()) && !base.is_empty()).then_some(base)
}

/// Workload that the pod's labels prove.
#[must_use]
pub fn by_labels(pod: &str, labels: &BTreeMap<String, String>) -> Option<Workload> {
    let label = |name: &str| labels.get(name).map(String::as_str);
    if let Some(hash) = label("pod-template-hash") {
        // Argo Rollouts use a label of their own beside this one.
        let base = strip_random(pod)?.strip_suffix(hash)?.strip_suffix('-')?;
        return (label("rollouts-pod-template-hash").is_none() && !base.is_empty()).then(|| Workload::Deployment(base.to_owned()));
    }
    if label("statefulset.kubernetes.io/pod-name").is_some() {
        return strip_ordinal(pod).map(|base| Workload::StatefulSet(base.to_owned()));
    }
    if label("controller-revision-hash").is_some() && label("pod-template-generation").is_some() {
        return strip_random(pod).map(|base| Workload::DaemonSet(base.to_owned()));
    }
    let job = label("batch.kubernetes.io/job-name").or_else(|| label("job-name"))?;
    Some(match cron_job(job) {
        Some(name) => Workload::CronJob { name: name.to_owned(), job: job.to_owned() },
        None => Workload::Job(job.to_owned()),
    })
}

/// A CronJob's Job is `NAME-MINUTES`, minutes since 1970: eight digits from 1989 to 2160.
fn cron_job(job: &str) -> Option<&str> {
    let base = strip_ordinal(job)?;
    (job.len() - base.len() == 9).then_some(base)
}

/// Best name of a pod's workload by the pod's name alone.
#[must_use]
pub fn guess_by_name(pod: &str) -> &str {
    let Some(base) = strip_random(pod) else {
        return strip_ordinal(pod).unwrap_or(pod);
    };
    if let Some(name) = cron_job(base) {
        return name;
    }
    // A Deployment's ReplicaSet adds a hash of eight to ten letters.
    match base.rsplit_once('-') {
        Some((name, hash)) if (8..=10).contains(&hash.len()) && is_random(hash) && !name.is_empty() => name,
        _ => base,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn controllers_are_proven_by_their_labels() {
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<Workload>);
        let cases: &[Case<'_>] = &[
            ("web-7d4b9c8f6d-x2x7k", &[("pod-template-hash", "7d4b9c8f6d")], Some(Workload::Deployment("web".into()))),
            ("web-7d4b9c8f6d-x2x7k", &[("pod-template-hash", "other")], None),
            ("web-7d4b9c8f6d-x2x7k", &[("pod-template-hash", "7d4b9c8f6d"), ("rollouts-pod-template-hash", "7d4b9c8f6d")], None),
            (
                "pg-0",
                &[("statefulset.kubernetes.io/pod-name", "pg-0"), ("controller-revision-hash", "pg-1")],
                Some(Workload::StatefulSet("pg".into())),
            ),
            (
                "fluent-bit-qqw4z",
                &[("controller-revision-hash", "5"), ("pod-template-generation", "1")],
                Some(Workload::DaemonSet("fluent-bit".into())),
            ),
            (
                "backup-28600000-w7tkz",
                &[("job-name", "backup-28600000")],
                Some(Workload::CronJob { name: "backup".into(), job: "backup-28600000".into() }),
            ),
            ("migrate-w7tkz", &[("batch.kubernetes.io/job-name", "migrate")], Some(Workload::Job("migrate".into()))),
            ("web-7d4b9c8f6d-x2x7k", &[], None),
        ];
        for (pod, pairs, expected) in cases {
            assert_eq!(by_labels(pod, &labels(pairs)), *expected, "{pod} {pairs:?}");
        }
    }

    #[test]
    fn a_name_alone_loses_its_random_parts() {
        for (pod, expected) in [
            ("web-7d4b9c8f6d-x2x7k", "web"),
            ("fluent-bit-qqw4z", "fluent-bit"),
            ("pg-0", "pg"),
            ("backup-28600000-w7tkz", "backup"),
            ("web-frontend", "web-frontend"),
            ("solo", "solo"),
            ("kube-proxy-node1", "kube-proxy-node1"),
            ("-0", "-0"),
        ] {
            assert_eq!(guess_by_name(pod), expected, "{pod}");
        }
    }
}
