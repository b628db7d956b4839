//! How many pods each replica set shall have. Source: `pkg/controller/deployment/{rolling,sync}.go` and `util/deployment_util.go`.

use super::sets::{Set, Sets};
use super::{MAX, Rollout};
use crate::failure::Failure;

impl Rollout<'_> {
    /// Source: `NewRSNewReplicas`.
    pub(super) fn size_of_new(&self, sets: &Sets) -> i64 {
        let wanted = self.replicas();
        if !self.rolling() {
            return wanted;
        }
        let now = sets.new.map_or(0, |at| sets.all[at].replicas());
        // Upstream counts what the sets shall have. Here pods that a set has yet to delete count too, so that there are never too many.
        let present = |set: &Set| {
            let active = self.context.pods.owned(set.uid()).filter(|p| p.active()).count();
            set.replicas().max(index(active))
        };
        let room = wanted + self.fenceposts().0 - sets.all.iter().map(present).sum::<i64>();
        if room <= 0 { now } else { now + room.min(wanted - now) }
    }

    pub(super) fn reconcile_new(&mut self, sets: &mut Sets) -> Result<bool, Failure> {
        let Some(at) = sets.new else { return Ok(false) };
        let now = sets.all[at].replicas();
        let wanted = self.replicas();
        if now == wanted {
            return Ok(false);
        }
        let size = if now > wanted { wanted } else { self.size_of_new(sets) };
        self.resize(&mut sets.all[at], size)
    }

    pub(super) fn reconcile_old(&mut self, sets: &mut Sets) -> Result<bool, Failure> {
        let old = sets.old_indices();
        if old.iter().map(|at| sets.all[*at].replicas()).sum::<i64>() == 0 {
            return Ok(false);
        }
        let least = self.replicas() - self.max_unavailable();
        let new_unavailable = sets.new.map_or(0, |at| sets.all[at].replicas() - sets.all[at].count("availableReplicas"));
        let mut may_go = sets.total() - least - new_unavailable;
        if may_go <= 0 {
            return Ok(false);
        }
        let mut scaled = false;
        // First those that do not work anyway.
        for at in old {
            let set = &mut sets.all[at];
            let (size, available) = (set.replicas(), set.count("availableReplicas"));
            if may_go <= 0 || size == 0 || size == available {
                continue;
            }
            let less = may_go.min(size - available).max(0);
            if less > 0 {
                self.resize(set, size - less)?;
                may_go -= less;
                scaled = true;
            }
        }
        Ok(self.scale_down_old(sets, least)? || scaled)
    }

    /// Source: `scaleDownOldReplicaSetsForRollingUpdate`.
    fn scale_down_old(&mut self, sets: &mut Sets, least: i64) -> Result<bool, Failure> {
        let mut surplus = sets.sum("availableReplicas") - least;
        let mut scaled = false;
        for at in sets.old_indices() {
            if surplus <= 0 {
                break;
            }
            let set = &mut sets.all[at];
            let size = set.replicas();
            if size == 0 {
                continue;
            }
            let less = size.min(surplus);
            self.resize(set, size - less)?;
            surplus -= less;
            scaled = true;
        }
        Ok(scaled)
    }

    /// Sizes after somebody scaled the deployment, in proportion where a rollout is under way. Source: `sync.go` `scale`.
    pub(super) fn scale(&mut self, sets: &mut Sets) -> Result<(), Failure> {
        let wanted = self.replicas();
        let active: Vec<usize> = (0..sets.all.len()).filter(|at| sets.all[*at].replicas() > 0).collect();
        let only = match active.as_slice() {
            [] => sets.new.or_else(|| sets.all.len().checked_sub(1)),
            [one] => Some(*one),
            _ => None,
        };
        if let Some(at) = only {
            // Upstream leaves alone what has the right size and is annotated with it.
            if sets.all[at].replicas() != wanted || self.scaled_meanwhile(sets) {
                self.resize(&mut sets.all[at], wanted)?;
            }
            return Ok(());
        }
        let saturated = sets.new.is_some_and(|at| {
            let set = &sets.all[at];
            set.replicas() == wanted
                && set.annotation(super::DESIRED) == Some(&wanted.to_string())
                && set.count("availableReplicas") == wanted
        });
        if saturated {
            for at in sets.old_indices() {
                if sets.all[at].replicas() > 0 {
                    self.resize(&mut sets.all[at], 0)?;
                }
            }
            return Ok(());
        }
        if self.rolling() { self.scale_in_proportion(sets, active) } else { Ok(()) }
    }

    fn scale_in_proportion(&mut self, sets: &mut Sets, mut active: Vec<usize>) -> Result<(), Failure> {
        let wanted = self.replicas();
        let allowed = if wanted > 0 { wanted + self.fenceposts().0 } else { 0 };
        let to_add = allowed - sets.total();
        // The larger first; among equals the newer when growing, the older when shrinking.
        active.sort_by_key(|at| (-sets.all[*at].replicas(), if to_add > 0 { -index(*at) } else { index(*at) }));
        let mut added = 0;
        let mut sizes: Vec<(usize, i64)> = Vec::new();
        for at in active {
            let set = &sets.all[at];
            let size = set.replicas();
            let share = if to_add == 0 || to_add == added { 0 } else { self.share(size, set.annotation(MAX), to_add - added, to_add > 0) };
            added += share;
            sizes.push((at, size + share));
        }
        for (place, (at, size)) in sizes.into_iter().enumerate() {
            // What rounding left over goes to the largest.
            let size = if place == 0 && to_add != 0 { (size + to_add - added).max(0) } else { size };
            self.resize(&mut sets.all[at], size)?;
        }
        Ok(())
    }

    /// Source: `GetReplicaSetProportion`.
    fn share(&self, size: i64, annotated: Option<&str>, left: i64, up: bool) -> i64 {
        let wanted = self.replicas();
        let fraction = if wanted == 0 {
            -size
        } else {
            let max = wanted + self.fenceposts().0;
            let had: i64 = annotated.and_then(|a| a.parse().ok()).unwrap_or_else(|| self.value["status"]["replicas"].as_i64().unwrap_or(0));
            // Rounded half up: both are positive.
            if had == 0 { 0 } else { (2 * size * max + had).div_euclid(2 * had) - size }
        };
        if up { fraction.min(left) } else { fraction.max(left) }
    }
}

fn index(at: usize) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}
