use super::*;
use crate::domain::drift::tests::{container, stack, whole};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn with(state: ContainerState, restarts: u64) -> Observed {
    let mut observed = whole();
    observed.containers.retain(|container| container.service != "web");
    let is_down = state == ContainerState::Restarting;
    let last_exit = is_down.then_some(3);
    observed.containers.push(Container { restarts, last_exit, ..container("web", state) });
    observed
}

#[test]
fn what_is_broken_is_repaired_once_it_is_sure_and_then_with_pauses() {
    let (stack, killed) = (stack(), with(ContainerState::Exited(137), 0));
    let mut memory = Memory::default();
    assert!(matches!(memory.judge(&stack, &whole(), at(0)), Verdict::Whole { .. }));
    let first = memory.judge(&stack, &killed, at(10));
    assert_eq!(first, Verdict::Broken { look_again: at(13), told: None });
    assert!(matches!(memory.judge(&stack, &whole(), at(11)), Verdict::Whole { .. }), "somebody restarted it");

    let mut repairs = Vec::new();
    let mut told = Vec::new();
    for second in 20..2000 {
        match memory.judge(&stack, &killed, at(second)) {
            Verdict::Repair { why } => {
                assert_eq!(why, "web: its container ended with exit code 137");
                repairs.push(second);
            }
            Verdict::Broken { told: Some(trouble), .. } => told.push(trouble.text()),
            Verdict::Broken { told: None, .. } => {}
            other @ (Verdict::Whole { .. } | Verdict::Crashing { .. }) => panic!("{other:?}"),
        }
    }
    let pauses: Vec<u64> = repairs.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(repairs[0], 23);
    assert_eq!(pauses, [15, 30, 60, 120, 240, 480, 600]);
    assert!(told[0].starts_with("web keeps crashing: exit code 137, "), "{}", told[0]);
    assert!(told[0].ends_with(" s"), "{}", told[0]);
}

#[test]
fn a_repair_that_holds_is_forgotten_after_a_while() {
    let (stack, killed) = (stack(), with(ContainerState::Exited(137), 0));
    let mut memory = Memory::default();
    let repaired_at = |memory: &mut Memory, from: u64| {
        (from..from + 700)
            .find(|second| matches!(memory.judge(&stack, &killed, at(*second)), Verdict::Repair { .. }))
            .unwrap()
            - from
    };
    assert_eq!(repaired_at(&mut memory, 0), 3);
    memory.judge(&stack, &whole(), at(10));
    assert_eq!(repaired_at(&mut memory, 11), 7, "15 s after the first");
    memory.busy(at(40));
    memory.judge(&stack, &whole(), at(41));
    memory.judge(&stack, &whole(), at(641));
    assert_eq!(repaired_at(&mut memory, 700), 3, "as if nothing had been");
}

#[test]
fn what_the_engine_starts_again_and_again_is_told_until_it_is_calm() {
    let stack = stack();
    let mut memory = Memory::default();
    memory.judge(&stack, &with(ContainerState::Running, 7), at(0));
    assert!(
        matches!(memory.judge(&stack, &with(ContainerState::Running, 9), at(5)), Verdict::Whole { .. }),
        "two are borne, and what was before is not known"
    );
    let verdict = memory.judge(&stack, &with(ContainerState::Restarting, 10), at(8));
    let Verdict::Crashing { look_again, told } = verdict else { panic!("{verdict:?}") };
    assert_eq!(told.text(), "web keeps crashing: exit code 3, 3 times");
    assert_eq!(look_again, at(38));
    let verdict = memory.judge(&stack, &with(ContainerState::Running, 11), at(28));
    assert!(matches!(verdict, Verdict::Crashing { look_again, .. } if look_again == at(88)), "{verdict:?}");
    assert!(matches!(
        memory.judge(&stack, &with(ContainerState::Running, 11), at(87)),
        Verdict::Crashing { .. }
    ));
    let calm = memory.judge(&stack, &with(ContainerState::Running, 11), at(88));
    assert_eq!(calm, Verdict::Whole { since: at(88) });
}

#[test]
fn not_every_crash_is_news() {
    let told = |times| Trouble {
        service: "web".into(),
        container: None,
        code: Some(1),
        times,
        other: None,
        next_repair: None,
    };
    assert!(told(3).is_news(None));
    assert!(!told(5).is_news(Some(&told(3))));
    assert!(told(6).is_news(Some(&told(3))));
    assert!(Trouble { code: Some(2), ..told(3) }.is_news(Some(&told(3))));
    let next = Trouble { next_repair: Some(5), ..told(3) };
    assert!(!next.is_news(Some(&Trouble { next_repair: Some(9), ..told(3) })));
}
