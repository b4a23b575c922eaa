use crate::Case;
pub(crate) fn all() -> Vec<Case> {
    vec![]
}
