//! Who runs, who waits, who is refused.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ::http::StatusCode;
use futures::future::join_all;
use kernel::{Error, Slug};
use tokio::sync::Notify;
use tower::service_fn;

use super::{Call, Link, LinkOptions, LinkState, cx, cx_within, options, until};

/// Doubles a number; 0 never answers, 13 panics, 4 is not found, 5 fails, above 100 it waits for the gate to open.
fn arithmetic(options: LinkOptions) -> (Link<u64, u64>, Arc<Notify>) {
    let gate = Arc::new(Notify::new());
    let opens = Arc::clone(&gate);
    let service = service_fn(move |call: Call<u64>| {
        let gate = Arc::clone(&gate);
        async move {
            match call.request {
                0 => std::future::pending().await,
                4 => Err(Error::not_found("number")),
                5 => Err(Error::internal("no such machine")),
                13 => panic!("bad luck with {}", call.request),
                n if n > 100 => {
                    gate.notified().await;
                    Ok(n * 2)
                }
                n => Ok(n * 2),
            }
        }
    });
    (Link::new("arithmetic", options, service), opens)
}

#[tokio::test]
async fn a_call_gets_its_answer_and_is_counted() {
    let (link, _) = arithmetic(LinkOptions::default());
    assert_eq!(link.call(&cx(), 21).await.unwrap(), 42);
    assert_eq!(link.call(&cx(), 4).await.unwrap_err().slug(), Slug::NotFound);
    assert_eq!(link.call(&cx(), 5).await.unwrap_err().slug(), Slug::Internal);
    let stats = link.stats();
    assert_eq!((stats.calls, stats.answered, stats.errors, stats.in_flight, stats.queued), (3, 2, 1, 0, 0));
    assert_eq!((stats.time.count, stats.wait.count, stats.state), (3, 3, LinkState::Open));
    let json = serde_json::to_value(&stats).unwrap();
    assert_eq!(json["inFlight"], 0);
    assert_eq!(json["state"], "open");
    assert!(json["time"]["p99Micros"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn a_full_link_sheds_at_once_and_serves_the_rest() {
    let (link, gate) = arithmetic(options(2, 3));
    let calls: Vec<_> = (0..5)
        .map(|n| {
            let link = link.clone();
            tokio::spawn(async move { link.call(&cx(), 101 + n).await })
        })
        .collect();
    until(|| link.stats().queued == 3).await;
    assert_eq!((link.stats().in_flight, link.stats().state), (2, LinkState::Full));

    let cx = cx();
    let mut fastest = Duration::MAX;
    for _ in 0..20 {
        let asked = Instant::now();
        let refusal = link.call(&cx, 1).await.unwrap_err();
        fastest = fastest.min(asked.elapsed());
        assert_eq!(refusal.slug(), Slug::Overloaded);
        assert!(refusal.retry_after_hint().is_some());
    }
    assert!(fastest < Duration::from_millis(1), "{fastest:?}");
    assert_eq!(link.stats().rejected, 20);

    let answers = join_all(calls);
    let open = async {
        loop {
            gate.notify_waiters();
            tokio::task::yield_now().await;
        }
    };
    let answers = tokio::select! { answers = answers => answers, () = open => unreachable!() };
    let answers: Vec<u64> = answers.into_iter().map(|answer| answer.unwrap().unwrap()).collect();
    assert_eq!(answers, [202, 204, 206, 208, 210]);
    let stats = link.stats();
    assert_eq!((stats.answered, stats.in_flight, stats.queued, stats.state), (5, 0, 0, LinkState::Open));
    assert!(stats.wait.total_micros > 0.0);
}

#[tokio::test]
async fn calls_are_let_in_in_the_order_in_which_they_came() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let link = Link::new(
        "queue",
        options(1, 100),
        service_fn(move |call: Call<usize>| {
            let seen = Arc::clone(&seen);
            async move {
                tokio::task::yield_now().await;
                seen.lock().unwrap().push(call.request);
                Ok::<_, Error>(())
            }
        }),
    );
    let cx = cx();
    join_all((0..50).map(|n| link.call(&cx, n))).await;
    assert_eq!(*order.lock().unwrap(), (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_panic_is_one_failed_call() {
    let (link, _) = arithmetic(options(1, 1));
    let error = link.call(&cx(), 13).await.unwrap_err();
    assert_eq!(error.slug(), Slug::Internal);
    assert!(error.causes().contains("bad luck with 13"), "{}", error.causes());
    assert!(!error.detail().contains("luck"));
    assert_eq!(link.call(&cx(), 1).await.unwrap(), 2);
    let stats = link.stats();
    assert_eq!((stats.panicked, stats.answered, stats.errors, stats.in_flight), (1, 1, 0, 0));
}

#[tokio::test]
async fn a_panic_before_the_future_is_made_is_one_failed_call() {
    let link = Link::new(
        "hasty",
        options(1, 0),
        service_fn(|call: Call<bool>| {
            assert!(!call.request, "too hasty");
            std::future::ready(Ok::<_, Error>(()))
        }),
    );
    assert!(link.call(&cx(), true).await.unwrap_err().causes().contains("too hasty"));
    assert!(link.call(&cx(), false).await.is_ok());
}

#[tokio::test]
async fn a_hanging_call_ends_at_its_deadline_and_hinders_nobody() {
    let (link, _) = arithmetic(options(2, 10));
    let hanging = {
        let link = link.clone();
        tokio::spawn(async move { link.call(&cx_within(Duration::from_millis(60)), 0).await })
    };
    until(|| link.stats().in_flight == 1).await;
    assert_eq!(link.call(&cx(), 3).await.unwrap(), 6);
    let error = hanging.await.unwrap().unwrap_err();
    assert_eq!((error.slug(), error.slug().status()), (Slug::DeadlineExceeded, StatusCode::GATEWAY_TIMEOUT));
    let stats = link.stats();
    assert_eq!((stats.timed_out, stats.answered, stats.in_flight), (1, 1, 0));
}

#[tokio::test]
async fn a_call_that_waits_too_long_for_its_turn_leaves_the_queue() {
    let (link, _) = arithmetic(options(1, 2));
    let hanging = {
        let link = link.clone();
        tokio::spawn(async move { link.call(&cx(), 0).await })
    };
    until(|| link.stats().in_flight == 1).await;
    assert_eq!(
        link.call(&cx_within(Duration::from_millis(30)), 1).await.unwrap_err().slug(),
        Slug::DeadlineExceeded
    );
    assert_eq!((link.stats().queued, link.stats().in_flight), (0, 1));
    hanging.abort();
    until(|| link.stats().in_flight == 0).await;
    let stats = link.stats();
    assert_eq!((stats.timed_out, stats.abandoned, stats.calls), (1, 1, 2));
    assert_eq!(link.call(&cx(), 1).await.unwrap(), 2);
}

#[tokio::test]
async fn a_call_that_comes_too_late_is_not_begun() {
    let (link, _) = arithmetic(LinkOptions::default());
    assert_eq!(link.call(&cx_within(Duration::ZERO), 13).await.unwrap_err().slug(), Slug::DeadlineExceeded);
    assert_eq!((link.stats().timed_out, link.stats().panicked), (1, 0));
}

#[tokio::test]
async fn a_closed_link_sends_the_waiting_away_and_lets_the_running_finish() {
    let (link, gate) = arithmetic(options(1, 2));
    let spawn = |n| {
        let link = link.clone();
        tokio::spawn(async move { link.call(&cx(), n).await })
    };
    let running = spawn(101);
    until(|| link.stats().in_flight == 1).await;
    let waiting = spawn(1);
    until(|| link.stats().queued == 1).await;
    link.close();
    assert_eq!(waiting.await.unwrap().unwrap_err().slug(), Slug::Draining);
    assert_eq!(link.call(&cx(), 1).await.unwrap_err().slug(), Slug::Draining);
    gate.notify_waiters();
    assert_eq!(running.await.unwrap().unwrap(), 202);
    assert_eq!((link.stats().state, link.stats().in_flight), (LinkState::Closed, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_a_busy_link_has_exactly_one_end() {
    let (link, _) = arithmetic(options(3, 5));
    let callers = (0..32_u64).map(|caller| {
        let link = link.clone();
        tokio::spawn(async move {
            for n in 0..20 {
                let time = Duration::from_millis(if n % 7 == 0 { 2 } else { 500 });
                let _ = link.call(&cx_within(time), if n % 7 == 0 { 0 } else { (caller + n) % 12 + 2 }).await;
            }
        })
    });
    join_all(callers).await;
    let stats = link.stats();
    let ends =
        stats.answered + stats.errors + stats.rejected + stats.timed_out + stats.panicked + stats.abandoned;
    assert_eq!((stats.calls, ends, stats.in_flight, stats.queued), (640, 640, 0, 0));
}
