//! What changes at the server while processes run: the layout, marks, and how it evicts.
