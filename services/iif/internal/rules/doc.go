// Package rules decides what the Investment and Impact Fund pays, from figures that it is given: no input or output, no clock,
// nothing remembered between calls.
//
// Words, each with one meaning:
//
//   - A version is the scheme as it stood from a day on; the one in force at 31 March judges the whole year.
//   - An indicator is a measured target of a version; points are what it earns, up to those available.
//   - The lower threshold earns nothing and the upper all; the upper is always the better one.
//   - An exclusion is a patient outside the target group; an adjustment is a reason to leave out one who did not meet the target.
//   - A value is one version of a figure, of the tables or entered; what is unknown or a candidate is refused by name.
//   - The measured result is what counts earn, and the due result what is paid; a national override parts the two.
//
// Not known, and therefore settings, inputs or refusals, never constants:
//
//   - How points and money are rounded officially. The policy is one rounding to the penny for each indicator, half up.
//   - The national average list: its value in any year, its day, and whether it is of registered or weighted patients.
//   - The national prevalence of any indicator, and whether indicators whose denominator is no register of patients are adjusted.
//   - The prevalence of a network by its indicator's denominator, after adjustments: no text tells it from the register before.
//   - Points and thresholds of most indicators of 2022/23, of half of 2020/21, and the October 2021 additions.
//   - The unit of the thresholds of AC-02; a change of the plain rate is assumed, and its thresholds are not known.
//   - Whether a year is ever split at a change of version. Nothing was found that does; 31 March decides.
//   - Minimum registers, caps on adjustments, merged or split networks: none was found, and none is applied.
//   - Formal rules of appeal and recovery. An appeal is open while the network is asked to declare.
//   - How adjustments overlap in the extract. Each patient is taken to be counted under one of them.
//
// Differences after approval are worked out here and approved in the service, by a second person who made none of the new figures or
// counts; a course does not go on after approval.
//
// A denominator of nothing earns no points and is noted for the commissioner: that is a policy too.
package rules
