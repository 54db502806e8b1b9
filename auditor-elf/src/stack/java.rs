//! The Java virtual machine, whose TLS (JSSE) is Java code that it compiles while it runs.
//!
//! Only recognised: there is nothing in a file to probe. Does not find programs that GraalVM compiled ahead of time.
//!
//! Provenance: libjvm.so of OpenJDK 17 and 25.

use crate::{Library, Refusal, Stack, fuzz::Elf, image::Image};

/// What every libjvm exports, of JNI and for the class library.
const NAMES: [&str; 2] = ["JNI_CreateJavaVM", "JVM_DefineClassWithSource"];

pub(super) fn recognise(image: &Image<'_>) -> Option<Library> {
    let named = image.named(&NAMES);
    let why = "its TLS is Java code, which is compiled while it runs";
    NAMES
        .iter()
        .all(|name| named.has(name))
        .then(|| Library::refused(Stack::Java, None, Refusal::Unhearable { why }))
}

/// A libjvm as far as this module looks at it.
pub(super) fn sample(elf: &mut Elf) {
    for name in NAMES {
        elf.function(name, b"\xc3");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recognise;

    #[test]
    fn a_virtual_machine_is_recognised_and_not_probed() {
        let mut elf = Elf::new();
        sample(&mut elf);
        let found = recognise(&elf.finish()).unwrap();
        assert_eq!((found.len(), found[0].stack), (1, Stack::Java));
        assert!(found[0].sites.is_empty());
        assert!(matches!(found[0].refused, Some(Refusal::Unhearable { .. })));
    }

    #[test]
    fn a_program_that_only_speaks_jni_is_none() {
        let mut elf = Elf::new();
        elf.function(NAMES[0], b"\xc3");
        assert_eq!(recognise(&elf.finish()), Ok(vec![]));
    }
}
