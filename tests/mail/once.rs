//! A to-do is sent once, however many workers see it, and by whoever is left when they stop or die.

use std::time::{Duration, Instant};

use domain::mail::CLAIM_LIFETIME;
use domain::time::Millis;
use projections::invitations::DeliveryState;

use super::desk::Desk;
use super::post::{Post, Step, sent};
use crate::log::bench::{Bench, at_once, code, run};
use crate::log::commands::*;
use crate::views::node::eventually;

on_both! {
    async fn two_workers_on_two_nodes_send_each_mail_once(bench: &Bench) {
        let one = Desk::open(bench).await;
        let two = Desk::open_with(bench, one.clock.clone()).await;
        let post = Post::kind();
        let working = [one.work(&post), two.work(&post), two.work(&post)];
        let mut accounts = Vec::new();
        for _ in 0..5 {
            accounts.push(one.account().await);
        }
        let stores = [one.node.store.clone(), two.node.store.clone()];
        let invited = at_once((0..60).map(|number| {
            let (store, account) = (stores[number % 2].clone(), accounts[number % 5]);
            async move { somebody_invited(&store, account).await.1 }
        }).collect::<Vec<_>>())
        .await;
        for link in &invited {
            one.reaches(*link, DeliveryState::Sent, 1).await;
        }
        for work in working {
            work.end().await;
        }
        for link in &invited {
            assert_eq!(post.copies(mail_of(*link)), 1);
            assert_eq!(one.history(link.account, mail_of(*link)).await, ["MailAttempted", "MailSent"]);
        }
    }

    async fn what_64_ask_for_at_once_is_mailed_once(bench: &Bench) {
        let one = Desk::open(bench).await;
        let two = Desk::open_with(bench, one.clock.clone()).await;
        let stores = [one.node.store.clone(), two.node.store.clone()];
        let account = one.account().await;
        let (professional, invitation) = (fresh_professional(), fresh_invitation());
        let wish = invite(account, professional, &address(), invitation);
        let asked = at_once((0..64).map(|number| {
            let (store, wish) = (stores[number % 2].clone(), wish.clone());
            async move { run(&store, &staff(), wish).await }
        }).collect::<Vec<_>>())
        .await;
        let refused: Vec<_> = asked.into_iter().filter(Result::is_err).map(code).collect();
        assert_eq!(refused, ["id_in_use"; 63]);
        let link = link(account, invitation);
        for node in [&one.node, &two.node] {
            node.follow().await;
            let due = node.views.due_mails(one.clock.now(), 10).await.unwrap();
            assert_eq!(due.iter().map(|mail| mail.id).collect::<Vec<_>>(), [mail_of(link)]);
        }
        let post = Post::kind();
        let working = [one.work(&post), two.work(&post)];
        one.reaches(link, DeliveryState::Sent, 1).await;
        for work in working {
            work.end().await;
        }
        assert_eq!(post.copies(mail_of(link)), 1);
    }

    /// Nobody waits for a look at the clock: news wake the worker, even news that come while it is looking.
    async fn mail_goes_out_at_once(bench: &Bench) {
        let desk = Desk::open(bench).await;
        let post = Post::kind();
        let working = desk.work(&post);
        let account = desk.account().await;
        let mut waited = Vec::new();
        for _ in 0..40 {
            let (_, link) = desk.invite(account).await;
            let start = Instant::now();
            eventually("a mail", async || (post.copies(mail_of(link)) == 1).then_some(())).await;
            waited.push(start.elapsed());
        }
        let slow = waited.iter().filter(|waited| **waited > Duration::from_millis(700)).count();
        assert!(slow <= 2, "{slow} mails were slow: {waited:?}");
        working.end().await;
    }

    async fn mails_under_way_are_finished_before_a_worker_stops(bench: &Bench) {
        let desk = Desk::open(bench).await;
        let post = Post::new(|_, _| Step::Hold(sent()));
        let account = desk.account().await;
        let working = desk.work(&post);
        let (_, first) = desk.invite(account).await;
        eventually("a mail under way", async || (post.under_way().0 == 1).then_some(())).await;
        working.ask_to_stop();
        let (_, second) = desk.invite(account).await;
        desk.pass(Millis(1)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!working.has_ended() && post.handed().len() == 1, "it neither drops one nor takes one more");
        post.release();
        working.end().await;
        assert_eq!(desk.history(account, mail_of(first)).await, ["MailAttempted", "MailSent"]);
        assert_eq!(desk.history(account, mail_of(second)).await, [""; 0]);
        // The next worker begins where this one stopped.
        let working = desk.work(&post);
        desk.reaches(second, DeliveryState::Sent, 1).await;
        working.end().await;
        assert_eq!((post.copies(mail_of(first)), post.copies(mail_of(second))), (1, 1));
    }

    /// T62: a worker dies between the claim and the outcome.
    async fn t62_a_mail_whose_worker_died_is_sent_again_once_the_claim_is_dead(bench: &Bench) {
        let desk = Desk::open(bench).await;
        let post = Post::new(|mail, copies| match (mail.to.as_str(), copies) {
            ("robin@harbour.example", 0) => Step::Never,
            _ => Step::Say(sent()),
        });
        let account = desk.account().await;
        let dying = desk.work(&post);
        let (professional, invitation) = (fresh_professional(), fresh_invitation());
        let command = invite(account, professional, "robin@harbour.example", invitation);
        run(&desk.node.store, &staff(), command).await.unwrap();
        let link = link(account, invitation);
        eventually("a mail under way", async || (post.under_way().0 == 1).then_some(())).await;
        desk.reaches(link, DeliveryState::Sending, 1).await;
        dying.kill().await;
        eventually("its end", async || (post.under_way().0 == 0).then_some(())).await;

        let working = desk.work(&post);
        desk.pass(Millis(CLAIM_LIFETIME.0 - 1)).await;
        let (_, other) = desk.invite(account).await;
        eventually("another mail", async || (post.copies(mail_of(other)) == 1).then_some(())).await;
        assert_eq!(post.copies(mail_of(link)), 1, "the claim lives");
        desk.pass(Millis(1)).await;
        desk.reaches(link, DeliveryState::Sent, 2).await;
        let history = desk.history(account, mail_of(link)).await;
        assert_eq!(history, ["MailAttempted", "MailOutcomeUnknown", "MailAttempted", "MailSent"]);
        assert_eq!(post.copies(mail_of(link)), 2, "one and one unknown");
        working.end().await;
    }

    /// Workers die all the time, wherever they are; mails of theirs may come twice, and none is lost.
    async fn t62_nothing_is_lost_while_workers_die(bench: &Bench) {
        let desk = Desk::open(bench).await;
        let post = Post::kind();
        let account = desk.account().await;
        let mut invited = Vec::new();
        for round in 0..12_u64 {
            for _ in 0..3 {
                invited.push(desk.invite(account).await.1);
            }
            let dying = desk.work(&post);
            tokio::time::sleep(Duration::from_micros(round * round * 300)).await;
            dying.kill().await;
        }
        let working = desk.work(&post);
        for _ in 0..4 {
            desk.pass(CLAIM_LIFETIME).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for link in invited {
            let end = async || {
                let history = desk.history(account, mail_of(link)).await;
                (history.last() == Some(&"MailSent")).then_some(history)
            };
            let history = eventually("the end of a mail", end).await;
            let unknown = history.iter().filter(|name| **name == "MailOutcomeUnknown").count();
            let copies = post.copies(mail_of(link));
            assert!(copies >= 1 && copies <= 1 + unknown, "{copies} copies: {history:?}");
        }
        working.end().await;
        let left = run(&desk.node.store, &worker(), attempt(link(account, fresh_invitation()))).await;
        assert_eq!(crate::log::bench::code(left), "mail_not_waiting");
    }
}
