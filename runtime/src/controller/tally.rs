//! What is known of all members together, kept as each changes: among thousands no event can ask every one.

use super::member::Phase;

/// How many members are where in their lives, and how far their reports are.
#[derive(Debug)]
pub(super) struct Tally {
    members: usize,
    in_start: usize,
    running: usize,
    ended_well: usize,
    gone: usize,
    /// The most reports that a rank has made.
    most_reports: u64,
    /// Of those whose loops returned the one with the fewest reports: how many, and which rank.
    first_return: Option<(u64, usize)>,
}

impl Tally {
    /// Of so many members, which start.
    pub(super) fn new(members: usize) -> Self {
        Self { members, in_start: members, running: 0, ended_well: 0, gone: 0, most_reports: 0, first_return: None }
    }

    /// A member goes from one phase to another.
    pub(super) fn moves(&mut self, from: &Phase, to: &Phase) {
        if let Some(count) = self.count(from) {
            *count -= 1;
        }
        if let Some(count) = self.count(to) {
            *count += 1;
        }
    }

    fn count(&mut self, phase: &Phase) -> Option<&mut usize> {
        match phase {
            Phase::Starting | Phase::Waiting | Phase::Joining => Some(&mut self.in_start),
            Phase::Running => Some(&mut self.running),
            Phase::Finished(_) | Phase::Stopped(_) => Some(&mut self.ended_well),
            Phase::Failed => None,
        }
    }

    /// A member's process has ended.
    pub(super) fn goes(&mut self) {
        self.gone += 1;
    }

    /// A rank has made so many reports.
    pub(super) fn reports(&mut self, reports: u64) {
        self.most_reports = self.most_reports.max(reports);
    }

    /// A rank's loop has returned after so many reports.
    pub(super) fn returns(&mut self, rank: usize, reports: u64) {
        let this = (reports, rank);
        self.first_return = Some(self.first_return.map_or(this, |first| first.min(this)));
    }

    /// A rank that returned, and can never make the reports that another has already made: the one that lacks the most.
    pub(super) fn early_return(&self) -> Option<usize> {
        self.first_return.filter(|(reports, _)| *reports < self.most_reports).map(|(_, rank)| rank)
    }

    /// Some have not yet begun their loops.
    pub(super) fn any_in_start(&self) -> bool {
        self.in_start > 0
    }

    pub(super) fn all_running(&self) -> bool {
        self.running == self.members
    }

    pub(super) fn all_ended_well(&self) -> bool {
        self.ended_well == self.members
    }

    /// Every loop has ended, in whatever way.
    pub(super) fn all_have_ended(&self) -> bool {
        self.in_start + self.running == 0
    }

    pub(super) fn all_gone(&self) -> bool {
        self.gone == self.members
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against what asking every member says, through lives of every kind.
    #[test]
    fn the_counts_are_those_of_the_members() {
        let lives: [&[Phase]; 5] = [
            &[Phase::Waiting, Phase::Joining, Phase::Running],
            &[Phase::Joining, Phase::Running, Phase::Finished(Vec::new())],
            &[Phase::Joining, Phase::Running, Phase::Stopped(7)],
            &[Phase::Joining, Phase::Failed],
            &[Phase::Failed, Phase::Failed, Phase::Failed],
        ];
        for chosen in [[0, 0, 0], [1, 1, 1], [1, 2, 1], [1, 3, 2], [4, 4, 4], [2, 1, 4]] {
            let mut tally = Tally::new(3);
            let mut phases = [&Phase::Starting; 3];
            for turn in 0..3 {
                for (phase, life) in phases.iter_mut().zip(chosen) {
                    let Some(next) = lives[life].get(turn) else { continue };
                    tally.moves(phase, next);
                    *phase = next;
                }
                let in_start = |phase: &&Phase| matches!(phase, Phase::Starting | Phase::Waiting | Phase::Joining);
                let ended_well = |phase: &&Phase| matches!(phase, Phase::Finished(_) | Phase::Stopped(_));
                assert_eq!(tally.any_in_start(), phases.iter().any(in_start), "{phases:?}");
                let goes_on = |phase: &&Phase| in_start(phase) || **phase == Phase::Running;
                assert_eq!(tally.all_have_ended(), !phases.iter().any(goes_on), "{phases:?}");
                assert_eq!(tally.all_running(), phases.iter().all(|phase| **phase == Phase::Running), "{phases:?}");
                assert_eq!(tally.all_ended_well(), phases.iter().all(ended_well), "{phases:?}");
            }
        }
    }

    #[test]
    fn all_are_gone_with_the_last() {
        let mut tally = Tally::new(2);
        tally.goes();
        assert!(!tally.all_gone());
        tally.goes();
        assert!(tally.all_gone());
    }

    #[test]
    fn a_return_is_early_where_another_rank_has_reported_more() {
        let mut tally = Tally::new(4);
        tally.reports(3);
        tally.returns(2, 3);
        assert_eq!(tally.early_return(), None);
        tally.reports(4);
        assert_eq!(tally.early_return(), Some(2));
        tally.returns(1, 4);
        assert_eq!(tally.early_return(), Some(2));
        tally.returns(3, 2);
        tally.returns(0, 2);
        assert_eq!(tally.early_return(), Some(0));
        tally.reports(1);
        assert_eq!(tally.early_return(), Some(0));
    }
}
