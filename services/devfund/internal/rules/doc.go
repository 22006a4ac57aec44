// Package rules decides how PCN development funding is shared, planned, checked, paid in tranches and reported, from figures that it is
// given: no input or output, no clock, nothing remembered between calls.
//
// Words, each with one meaning:
//
//   - A pool is a sum to share at one level: nation to systems, system to places, place or system to networks.
//   - A slice is taken off a pool first, for leadership, for the system or for a place; a part is what one receiver gets of the rest.
//   - A plan is what a system means to buy with its allocation; a line is one purchase, in cash or in kind, for one network or many.
//   - A check is one of the eight of governance; it passes, or fails and names what is missing.
//   - A tranche is the part of a line that falls to one month and one payee.
//
// Not known, and therefore recorded decisions, settings or refusals, never constants:
//
//   - The key by which the nation shared the fund among systems. Allocations of systems are entered, not computed.
//   - How a system shares among networks. The method is its own decision.
//   - The leadership portion after 2019/20; it is entered, and nothing is an answer that needs a reason.
//   - National totals of 2021/22 and 2023/24, and how much of the combined funds from 2022/23 on was for networks.
//   - Whether unspent money is carried over or taken back. By default it is flagged and not moved.
//   - How an adjusted population follows from the published weights. Computed need serves checks and forecasts, never payment.
package rules
