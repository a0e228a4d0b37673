//! What fields and variants are called in a checkpoint.

use proc_macro2::Ident;
use syn::ext::IdentExt;
use syn::{LitStr, Member};

use crate::args::Options;
use crate::ir::SavedNames;
use crate::report::Report;

/// The names that the fields of one struct or variant, or the variants of one enum, lay claim to.
pub(super) struct Names {
    /// What they are names of.
    what: &'static str,
    claims: Vec<Claim>,
}

struct Claim {
    /// The field's or variant's name in the program.
    owner: String,
    name: String,
    rename: Option<LitStr>,
    aliases: Vec<LitStr>,
}

impl Names {
    pub(super) fn of(what: &'static str) -> Self {
        Self { what, claims: Vec::new() }
    }

    /// The names of a variant, or of a field that has one.
    pub(super) fn claim(&mut self, ident: &Ident, options: &Options, report: &mut Report) -> SavedNames {
        // As written, without the `r#` of a keyword.
        self.claim_as(ident.unraw().to_string(), options, report)
    }

    pub(super) fn claim_member(&mut self, member: &Member, options: &Options, report: &mut Report) -> SavedNames {
        match member {
            Member::Named(name) => self.claim(name, options, report),
            Member::Unnamed(index) => self.claim_as(index.index.to_string(), options, report),
        }
    }

    fn claim_as(&mut self, owner: String, options: &Options, report: &mut Report) -> SavedNames {
        let rename = options.string("rename", report);
        let aliases = options.strings("alias", report);
        for literal in rename.iter().chain(&aliases) {
            file_name(literal, report);
        }
        let name = rename.as_ref().map_or_else(|| owner.clone(), LitStr::value);
        let names = SavedNames { name: name.clone(), aliases: aliases.iter().map(LitStr::value).collect() };
        self.claims.push(Claim { owner, name, rename, aliases });
        names
    }

    /// No name belongs to two, nor to one twice.
    pub(super) fn check(&self, report: &mut Report) {
        for (index, claim) in self.claims.iter().enumerate() {
            self.check_name(index, claim, report);
            for (place, alias) in claim.aliases.iter().enumerate() {
                self.check_alias(index, claim, place, alias, report);
            }
        }
    }

    fn check_name(&self, index: usize, claim: &Claim, report: &mut Report) {
        let Some(other) = self.claims[..index].iter().find(|other| other.name == claim.name) else { return };
        // Names in the program differ, so that one of the two was renamed.
        if let Some(literal) = claim.rename.as_ref().or(other.rename.as_ref()) {
            report.at(
                literal,
                format!(
                    "the {}s `{}` and `{}` would both be saved under the name `{}`; give one of them another name",
                    self.what, other.owner, claim.owner, claim.name
                ),
            );
        }
    }

    fn check_alias(&self, index: usize, claim: &Claim, place: usize, alias: &LitStr, report: &mut Report) {
        let (what, name) = (self.what, alias.value());
        let same = |literal: &LitStr| literal.value() == name;
        if claim.name == name {
            report.at(
                alias,
                format!("`{name}` is what the {what} is saved under already; write the name that it had, or no alias"),
            );
        } else if claim.aliases[..place].iter().any(same) {
            report.at(alias, format!("the alias `{name}` is given twice; remove one"));
        } else if let Some(other) = self.claims.iter().find(|other| other.name == name) {
            report.at(
                alias,
                format!(
                    "`{name}` cannot be an older name of the {what} `{}`: the {what} `{}` is saved under it; remove the \
                     alias, or rename that {what}",
                    claim.owner, other.owner
                ),
            );
        } else if let Some(other) = self.claims[..index].iter().find(|other| other.aliases.iter().any(same)) {
            report.at(
                alias,
                format!(
                    "`{name}` is an older name of the {what} `{}` already, and cannot be one of `{}`, too; leave one of \
                     the two",
                    other.owner, claim.owner
                ),
            );
        }
    }
}

/// The name of a part becomes the name of a file.
fn file_name(literal: &LitStr, report: &mut Report) {
    let name = literal.value();
    let fits = |letter: char| letter.is_alphanumeric() || "_-".contains(letter);
    if name.is_empty() || !name.chars().all(fits) {
        report.at(literal, "a part's name becomes the name of a file; use letters, digits, `_` and `-`");
    }
}
