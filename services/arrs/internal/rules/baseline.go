package rules

import (
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// Baseline is the WTE of a role that general practice of the network already funded on 31 March 2019, as agreed with the
// commissioner.
type Baseline struct {
	ID    string
	Role  string
	Month period.Month // that it is set against; zero for any
	WTE   *big.Rat
	// ExemptWTE is the part of it that was transferred in time from a national scheme and may be claimed.
	ExemptWTE *big.Rat
}

// Employed is how much WTE of a role the network and its practices employ in a month, claimed or not. Where none is stated the
// posts of the baseline are taken as filled by others than those claimed: how a vacant one counts is not known.
type Employed struct {
	ID    string
	Role  string
	Month period.Month
	WTE   *big.Rat
}

// ClaimableWTE is employed − baseline + exempt transfers, never below nothing. The formula is inferred. (Example ARRS-S28.)
func ClaimableWTE(employed, baseline, exempt *big.Rat) *big.Rat {
	claimable := new(big.Rat).Sub(employed, baseline)
	claimable.Add(claimable, exempt)
	if claimable.Sign() < 0 {
		return new(big.Rat)
	}
	return claimable
}

// Transfer is a window in which staff of a national scheme could move to a network and be claimed although the baseline counts
// them.
type Transfer struct {
	Figure
	Scheme string
	Role   string
	// From and To are the first and the last day; To is zero where the last day is not known.
	From, To period.Date
	// AgreedTo is the last day where the commissioner agreed and the person was already in place; zero where there is none.
	AgreedTo period.Date
}

// exempt tells whether a transfer came in time. It returns nil, or why not.
func exempt(transfers []Transfer, role string, f *Facts, agreed bool) *fault.Fault {
	if f.TransferScheme == "" {
		return fault.New(fault.Refused, ReasonInBaseline, "the post is in the baseline of 31 March 2019")
	}
	named, open := false, false
	for i := range transfers {
		t := &transfers[i]
		if t.Scheme != f.TransferScheme || t.Role != role {
			continue
		}
		named = true
		if f.TransferredOn.IsZero() {
			return missing(ReasonFactMissing, "transferred_on", "state the day of the transfer")
		}
		last := t.To
		if agreed && t.AgreedTo.After(last) {
			last = t.AgreedTo
		}
		switch {
		case f.TransferredOn.Before(t.From):
		case last.IsZero():
			open = true
		case !f.TransferredOn.After(last):
			return nil
		}
	}
	switch {
	case !named:
		return fault.New(fault.Refused, ReasonTransferNotKnown, "no transfer scheme of this name is known for the role")
	case open && agreed:
		return nil
	case open:
		return missing(ReasonTransferWindowUnknown, "last day of the transfer window of "+f.TransferScheme, "record the commissioner's agreement to the transfer")
	default:
		return fault.New(fault.Refused, ReasonTransferredLate, "the transfer of %s came after the window", f.TransferredOn).
			With("transferred_on", f.TransferredOn)
	}
}

// Decision is what a commissioner decided about a network or one engagement.
type Decision struct {
	ID   string
	Kind DecisionKind
	// Engagement limits the decision to one; empty for all of Role, and Role empty for all roles.
	Engagement string
	Role       string
	Months
	// Value is a WTE or a share from 0 to 1, and Day a day, where the kind speaks of one.
	Value *big.Rat
	Day   period.Date
}

// DecisionKind says what a decision is about.
type DecisionKind string

// The decisions.
const (
	// OverCeilingAgreed lets a person count for more WTE than the ceiling: for Value.
	OverCeilingAgreed DecisionKind = "OVER_CEILING_AGREED"
	// ShareAgreed is the share of a later mental health post that the written agreement gives to the network: Value.
	ShareAgreed DecisionKind = "SHARE_AGREED"
	// SubstantiveGPAgreed accepts a GP who was a substantive one before.
	SubstantiveGPAgreed DecisionKind = "SUBSTANTIVE_GP_AGREED"
	// TrainingTestDay fixes the day on which the age of a GP's certificate is tested: Day.
	TrainingTestDay DecisionKind = "TRAINING_TEST_DAY"
	// RoleAgreed accepts a post in a role that needs agreement.
	RoleAgreed DecisionKind = "ROLE_AGREED"
	// ProviderAgreed records that the mental health provider agrees.
	ProviderAgreed DecisionKind = "PROVIDER_AGREED"
	// EarlyHireAgreed pays a role of 2020/21 from February 2020 out of what is unspent, and a 2019/20 role without the
	// network's share if the person started then.
	EarlyHireAgreed DecisionKind = "EARLY_HIRE_AGREED"
	// TransferAgreed accepts a transfer up to the later day of its window.
	TransferAgreed DecisionKind = "TRANSFER_AGREED"
)

// decided finds the decision on an engagement: its own before its role's before all; a later one of equals wins.
func decided(decisions []Decision, kind DecisionKind, engagement, role string, month period.Month) *Decision {
	var best *Decision
	rank := -1
	for i := range decisions {
		d := &decisions[i]
		if d.Kind != kind || !d.Covers(month) || (d.Engagement != "" && d.Engagement != engagement) || (d.Role != "" && d.Role != role) {
			continue
		}
		own := 0
		if d.Engagement != "" {
			own = 2
		}
		if d.Role != "" {
			own++
		}
		if own >= rank {
			best, rank = d, own
		}
	}
	return best
}

func (d *Decision) origin() working.Origin {
	return working.Origin{Kind: working.FromSetting, Ref: d.ID, Source: "decision of the commissioner"}
}
