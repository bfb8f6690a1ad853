//! What both engines must do alike: each test alone on the embedded default (SQLite), and all of a list on one production
//! service (PostgreSQL, real issuers, a relay).

use std::sync::Arc;

use super::site::Site;
use super::{access, api, auditing, authority, links, operators, partners, people, requests, tenants};

macro_rules! on_both_engines {
    ($on_postgres:ident: $($module:ident::$name:ident),+ $(,)?) => {
        $(#[tokio::test] async fn $name() { $module::$name(&Arc::new(Site::embedded().await)).await; })+

        #[tokio::test]
        async fn $on_postgres() {
            let site = Arc::new(Site::production().await);
            $(
                println!("{}", stringify!($name));
                $module::$name(&site).await;
            )+
        }
    };
}

on_both_engines!(
    all_of_these_on_postgres:
    api::accounts_are_opened_entitled_and_read,
    api::people_are_added_listed_and_read,
    api::a_change_needs_the_state_that_was_read,
    api::invitations_are_sent_listed_and_revoked,
    auditing::a_history_is_filtered_by_type_actor_and_time,
    auditing::every_reading_is_recorded_and_paging_ends_before_it,
    auditing::the_history_of_a_tag_is_what_carries_it,
    auditing::what_was_shown_then_is_shown_again,
    auditing::t54_an_export_holds_the_whole_history_and_no_formula,
    auditing::the_command_line_exports_a_history_or_the_whole_log,
    authority::r18_who_acts_as_one_profile_may_nothing_as_another,
    authority::t61_every_change_has_one_effect_for_a_caller_and_key,
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

on_both_engines!(
    all_of_the_daily_work_on_postgres:
    people::r7_an_account_is_renamed_and_closed_and_then_nothing_happens_in_it,
    people::r16_another_address_kills_the_old_link_and_the_old_mailbox_is_told,
    people::r3_r5_roles_are_given_move_and_are_taken_with_warnings,
    people::r4_r5_a_deletion_lists_every_blocker_and_each_command_gets_past_it,
    people::a_hand_over_gives_every_role_and_deletes_in_one_append,
    people::who_was_deleted_and_is_added_again_is_somebody_new,
    people::an_identity_that_was_untied_opens_the_profile_no_more,
    people::r3_16_administrators_demote_each_other_at_once_and_one_stays,
    people::r2_of_two_first_people_at_once_one_is_administrator,
    operators::failed_invitations_are_found_by_state_reason_and_time,
    operators::a_failed_invitation_is_sent_again_to_the_corrected_address,
    operators::the_command_line_lists_shows_and_retries_invitations,
    operators::many_failed_invitations_are_sent_again_with_one_result_each,
    operators::a_bounce_is_recorded_once_and_the_invitation_stays_valid,
    partners::r22_a_partner_works_in_an_account_only_while_it_serves_it,
    partners::r21_support_appoints_at_once_and_everybody_concerned_is_told,
    partners::r21_an_objection_hands_a_partners_appointment_to_support,
    access::r23_a_wish_is_answered_alike_whatever_is_known_and_approved_or_declined,
    access::r17_r18_r19_everybody_sees_what_may_be_entered_and_acts_as_one_profile,
    access::r13_r14_t10_links_of_the_association_page_are_for_the_identity_that_asked,
    access::r13_the_fourth_request_for_an_address_within_an_hour_is_answered_alike_and_not_mailed,
    access::r18_a_browser_acts_as_the_profile_that_was_chosen,
    access::r17_a_sign_in_without_a_profile_leads_to_the_association_page,
);
