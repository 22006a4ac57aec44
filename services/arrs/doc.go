// Package arrs reimburses the staff of PCNs under the Additional Roles Reimbursement Scheme.
//
// Words, each with one meaning:
//
//   - A figure is a role maximum, a rate of the yearly sum or a number limit; a version is one row of it, with source and confidence.
//   - A pot is a part of the yearly sum that pays some roles only; an entitlement is what a pot comes to for a PCN and a year.
//   - An engagement is one person's work for a PCN in one role; the person stands behind a keyed pseudonym and the PCN's own label.
//   - A claim asks for the cost of engagements in a month; a line is one of them, and its entry what the PCN entered.
//   - A part is what of a line is not payable, with the test and the reason; claimed = payable + parts.
//   - What is payable is set aside in the pot when a claim is put forward, approved by another person, and due at the next close.
//   - A decision is what a commissioner decides or agrees that claims rest on; a setting is a convention of reckoning.
//
// What was approved stands until it is corrected: a correction restates a month of an engagement, takes the place of all that was approved
// of it once another person approves, and the next close pays or takes off the difference.
//
// Pay stays within the claim: no event, log, trace or error holds an amount of a line, and what leaves is one total for each PCN and
// pot. The rules are in internal/rules, free of input and output; the figures are in internal/tables and seed the database.
package arrs
