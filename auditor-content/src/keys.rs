//! What a key's name says of its value.
//!
//! Names of people and postal addresses are known by key names only: no text is searched for
//! them. A name counts as a whole, without letter case and separators, so `max_tokens` is not
//! `token`. Values that are empty, `true`, `false` or `null` say nothing.

use std::collections::HashMap;

use crate::{
    class::{ClassId, Classes, Level},
    settings::{Error, KeyNames},
};

/// Longest key that is looked up, separators not counted, in bytes.
const LONGEST: usize = 48;

const SECRET: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "clientsecret",
    "apikey",
    "xapikey",
    "apisecret",
    "apitoken",
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "authtoken",
    "bearertoken",
    "sessiontoken",
    "privatekey",
    "secretkey",
    "secretaccesskey",
    "awssecretaccesskey",
    "authorization",
    "proxyauthorization",
    "setcookie",
    "connectionstring",
    "dbpassword",
    "userpassword",
    "encryptionkey",
    "signingkey",
    "cvv",
    "cvc",
];
const BIRTH: &[&str] = &[
    "dateofbirth",
    "birthdate",
    "birthday",
    "dob",
    "birthdt",
    "bornon",
];
const NAME: &[&str] = &[
    "firstname",
    "lastname",
    "fullname",
    "middlename",
    "surname",
    "givenname",
    "familyname",
    "maidenname",
    "personname",
    "patientname",
    "customername",
    "employeename",
    "cardholder",
    "cardholdername",
    "accountholder",
];
const ADDRESS: &[&str] = &[
    "address",
    "streetaddress",
    "street",
    "homeaddress",
    "postaladdress",
    "mailingaddress",
    "billingaddress",
    "shippingaddress",
    "addressline1",
    "addressline2",
    "zipcode",
    "postalcode",
    "postcode",
];
const PHONE: &[&str] = &[
    "phone",
    "phonenumber",
    "mobile",
    "mobilenumber",
    "telephone",
    "cellphone",
    "homephone",
];
const NATIONAL: &[&str] = &[
    "ssn",
    "socialsecuritynumber",
    "socialsecurity",
    "nationalid",
    "nationalinsurancenumber",
    "nino",
    "nhsnumber",
    "passport",
    "passportnumber",
    "taxid",
    "taxnumber",
    "steuerid",
    "codicefiscale",
    "bsn",
    "aadhaar",
    "aadhaarnumber",
    "cpf",
    "dni",
    "driverslicense",
    "driverlicense",
    "licensenumber",
];

/// Key names and their classes.
#[derive(Debug, Default)]
pub(crate) struct KeyTable {
    table: HashMap<Vec<u8>, ClassId>,
}

impl KeyTable {
    /// Adds the built-in names; `left_out` tells classes that are not wanted.
    pub(crate) fn built_in(
        &mut self,
        classes: &mut Classes,
        secrets: bool,
        personal: bool,
        left_out: &mut dyn FnMut(&str) -> bool,
    ) {
        let lists = [
            (secrets, "secret.by_key_name", Level::Restricted, SECRET),
            (personal, "pii.date_of_birth", Level::Confidential, BIRTH),
            (personal, "pii.person_name", Level::Confidential, NAME),
            (personal, "pii.postal_address", Level::Confidential, ADDRESS),
            (personal, "pii.phone", Level::Confidential, PHONE),
            (personal, "pii.national_id", Level::Restricted, NATIONAL),
        ];
        for (wanted, class, level, names) in lists {
            if !left_out(class) && wanted {
                let id = classes.id(class, level);
                self.table
                    .extend(names.iter().map(|name| (name.as_bytes().to_vec(), id)));
            }
        }
    }

    /// Adds names of the configuration; they win over built-in ones.
    pub(crate) fn custom(&mut self, id: ClassId, names: &KeyNames) -> Result<(), Error> {
        for key in &names.keys {
            let name: Vec<u8> = letters(key.as_bytes()).collect();
            if name.is_empty() {
                return Err(Error::EmptyWord {
                    class: names.class.clone(),
                });
            }
            self.table.insert(name, id);
        }
        Ok(())
    }

    /// The class of a value under `key`.
    pub(crate) fn class_of(&self, key: &[u8], value: &[u8], is_text: bool) -> Option<ClassId> {
        let says_nothing =
            value.is_empty() || !is_text && matches!(value, b"true" | b"false" | b"null");
        if says_nothing || key.is_empty() || key.len() > 2 * LONGEST {
            return None;
        }
        let mut name = [0; LONGEST];
        let mut length = 0;
        for letter in letters(key) {
            *name.get_mut(length)? = letter;
            length += 1;
        }
        self.table.get(name.get(..length)?).copied()
    }
}

fn letters(key: &[u8]) -> impl Iterator<Item = u8> {
    let counts = |byte: &&u8| !matches!(byte, b'_' | b'-' | b'.' | b' ');
    key.iter().filter(counts).map(u8::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_as_a_whole_and_without_separators() {
        let mut classes = Classes::default();
        let mut keys = KeyTable::default();
        keys.built_in(&mut classes, true, true, &mut |_| false);
        let name = |key: &str| {
            Some(
                &*classes
                    .get(keys.class_of(key.as_bytes(), b"x", true)?)?
                    .name,
            )
        };
        assert_eq!(name("Date-Of_Birth"), Some("pii.date_of_birth"));
        assert_eq!(name("X-Api-Key"), Some("secret.by_key_name"));
        assert_eq!(name("max_tokens"), None);
        assert_eq!(name(""), None);
        assert_eq!(keys.class_of(b"password", b"", true), None);
        assert_eq!(keys.class_of(b"password", b"true", false), None);
        assert!(keys.class_of(b"password", b"true", true).is_some());
    }
}
