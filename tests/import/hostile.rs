//! Files that were made by accident or by somebody who means harm.

use workers::import::{FIELD_BYTES_MAX, ImportError};

use super::files::{ACCOUNTS, PEOPLE, accounts, count, csv, import, people, run, told};
use crate::log::bench::Bench;

on_both! {
    async fn a_file_that_cannot_be_taken_is_named_and_nothing_is_done(bench: &Bench) {
        let store = bench.writer().await;
        let (accounts, people) = (accounts(), people());
        let of = async |accounts: &[u8], people: &[u8]| {
            let ran = import(&store).run(accounts.to_vec(), people.to_vec(), &Default::default()).await;
            match ran {
                Err(ImportError::File(error)) => format!("{} {}", error.file.as_str(), error.code),
                other => panic!("it was taken: {other:?}"),
            }
        };
        let semicolons = people.replace(',', ";");
        assert_eq!(of(b"", people.as_bytes()).await, "accounts header_missing");
        assert_eq!(of(accounts.as_bytes(), b"\xef\xbb\xbf").await, "professionals header_missing");
        assert_eq!(of(people.as_bytes(), accounts.as_bytes()).await, "accounts header_unknown_column");
        assert_eq!(of(accounts.as_bytes(), semicolons.as_bytes()).await, "professionals header_unknown_column");
        let headless = people.split_once('\n').unwrap().1;
        assert_eq!(of(accounts.as_bytes(), headless.as_bytes()).await, "professionals header_unknown_column");
        let utf_16: Vec<u8> = accounts.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(of(&utf_16, people.as_bytes()).await, "accounts header_unknown_column");
        assert_eq!(store.head().await.unwrap(), 0);
    }

    async fn a_row_that_makes_no_sense_does_not_stop_the_next(bench: &Bench) {
        let store = bench.writer().await;
        let account = format!("\u{feff}{}C-1,customer,\"Meadow, Mills\",,,,\r\n\r\n", ACCOUNTS.replace('\n', "\r\n"));
        let long = "x".repeat(FIELD_BYTES_MAX + 1);
        let mut people = PEOPLE.replace('\n', "\r\n").into_bytes();
        let too_long = format!("C-1,{long},sam@meadow.example,en,,false");
        let rows: [&[u8]; 12] = [
            b"C-1,\"Robin \"\"Rob\"\" Rivers\",robin@meadow.example,en,,false",
            b"C-1,Sam Reed,sam@meadow.example,en,false",
            b"C-1,Sam Reed,sam@meadow.example,en,,false,more",
            b"C-1,S\xff\xfem,sam@meadow.example,en,,false",
            too_long.as_bytes(),
            b"C-1,\"two\r\nlines\",sam@meadow.example,en,,false",
            b"C-1,nul\0,sam@meadow.example,en,,false",
            b"C-1,=HYPERLINK(1),sam@meadow.example,en,,false",
            b"\0,Sam Reed,sam@meadow.example,en,,false",
            b"C-1,Sam Reed,\"sam@meadow.example\r\nBcc: all@x.example\",en,,false",
            b"C-1,Jo Marsh,jo@meadow.example,en,,false",
            b"C-1,Never Closed,\"nc@meadow.example,en,,false\r\nC-1,Lost,lost@meadow.example,en,,false",
        ];
        for row in rows {
            people.extend_from_slice(row);
            people.extend_from_slice(b"\r\n");
        }
        let ran = import(&store).run(account.into_bytes(), people, &Default::default()).await.unwrap();
        let expected = [
            "accounts 2 created",
            "professionals 2 created",
            "professionals 3 refused row_columns",
            "professionals 4 refused row_columns",
            "professionals 5 refused row_not_utf8",
            "professionals 6 refused field_too_long",
            "professionals 7 refused name_hidden_character",
            "professionals 9 refused name_hidden_character",
            "professionals 10 created",
            "professionals 11 refused customer_number_character",
            "professionals 12 refused address_hidden_character",
            "professionals 14 created",
            "professionals 15 refused row_columns",
        ];
        assert_eq!(told(&ran), expected);
        let text = csv(&ran);
        assert!(!text.contains("sam") && !text.contains("HYPERLINK"), "{text}");
        assert_eq!(count(&store).await["ProfessionalAdded"], 3);
    }

    async fn many_rows_about_one_thing_have_one_effect(bench: &Bench) {
        let store = bench.writer().await;
        let account = "C-1,customer,Meadow Mills,,,,\n".repeat(50);
        let person = "c-1 ,Robin Rivers,Robin@Meadow.example,en,administrator,false\n".repeat(50);
        let rows = told(&run(&store, &format!("{ACCOUNTS}{account}"), &format!("{PEOPLE}{person}")).await);
        assert_eq!(rows.iter().filter(|told| told.ends_with("created")).count(), 2);
        assert_eq!(rows.iter().filter(|told| told.ends_with("unchanged")).count(), 98);
        let other = format!("{ACCOUNTS}C-1,partner,Meadow Mills,,,,\n");
        assert_eq!(told(&run(&store, &other, PEOPLE).await), ["accounts 2 refused kind_differs"]);
        let odd = format!("{ACCOUNTS}C-2,customer,Cedar,,,,C-1;C-2\nP-2,partner,Odd,Plan,2020-01-01T00:00:00Z,2099-01-01T00:00:00Z,\n");
        let odd = told(&run(&store, &odd, PEOPLE).await);
        assert_eq!(odd, ["accounts 2 refused not_a_partner", "accounts 3 refused plan_not_for_partners"]);
        let accounts = count(&store).await["AccountOpened"];
        assert_eq!(accounts, 2, "an account with a plan that cannot be is not opened");
    }
}
