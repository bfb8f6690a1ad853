//! What both engines must do alike: each test alone on the embedded default (SQLite), and all of them on one production
//! service (PostgreSQL, real issuers, a relay).

use std::sync::Arc;

use super::site::Site;
use super::{api, auditing, authority, links, requests, tenants};

macro_rules! on_both_engines {
    ($($module:ident::$name:ident),+ $(,)?) => {
        $(#[tokio::test] async fn $name() { $module::$name(&Arc::new(Site::embedded().await)).await; })+

        #[tokio::test]
        async fn all_of_these_on_postgres() {
            let site = Arc::new(Site::production().await);
            $(
                println!("{}", stringify!($name));
                $module::$name(&site).await;
            )+
        }
    };
}

on_both_engines!(
    api::accounts_are_opened_entitled_and_read,
    api::people_are_added_listed_and_read,
    api::invitations_are_sent_listed_and_revoked,
    auditing::a_history_is_filtered_by_type_actor_and_time,
    auditing::every_reading_is_recorded_and_paging_ends_before_it,
    auditing::the_history_of_a_tag_is_what_carries_it,
    auditing::what_was_shown_then_is_shown_again,
    auditing::an_export_holds_the_whole_history_and_no_formula,
    auditing::the_command_line_exports_a_history_or_the_whole_log,
    authority::t66_every_route_lets_in_whom_the_table_says_and_nobody_else,
    requests::t61_a_request_that_is_sent_again_has_one_effect,
    requests::t61_32_at_once_have_one_effect,
    tenants::t38_what_is_foreign_and_what_is_nowhere_cannot_be_told_apart,
    tenants::t39_t47_the_same_address_in_two_accounts_is_silent_and_links_one_profile_only,
    links::t1_gateways_open_the_link_500_times_and_the_person_still_succeeds,
    links::t2_forms_sent_again_and_again_without_a_sign_in_consume_nothing,
    links::t5_an_older_link_says_so_and_sends_the_newest_and_only_that_works,
    links::t8_a_forwarded_link_is_worthless_and_its_owner_still_succeeds,
    links::r11_another_identity_replaces_the_old_one_which_loses_the_profile_at_once,
);
