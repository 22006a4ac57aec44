package store

import (
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// ResultRow is what a year came to, as it is kept. Basis is the result without its indicators and workings.
type ResultRow struct {
	ID               string
	PCNCode          string
	CommissionerCode string
	Year             period.FinancialYear
	Basis            *iifv1.YearResult
	Digest           string
	Due              money.Pence
	Whole            bool
	WorkedBy         string
	WorkedAt         int64
}

// AchievementRow is where the year of a PCN stands, as it is kept.
type AchievementRow struct {
	PCNCode          string
	PCNName          string
	LocationCode     string
	CommissionerCode string
	Year             period.FinancialYear
	Course           rules.Course
	ResultID         string
	PaymentRunID     string
	PaymentMonth     period.Month // zero before approval
	ScheduleID       string
	Version          int64
}

// CorrectionState is where a correction stands; its values equal those of the contract.
type CorrectionState int64

// The states.
const (
	CorrectionProposed CorrectionState = iota + 1
	CorrectionApproved
	CorrectionRejected
)

// CorrectionRow is a correction as it is kept.
type CorrectionRow struct {
	ID               string
	PCNCode          string
	CommissionerCode string
	Year             period.FinancialYear
	State            CorrectionState
	ResultID         string
	// Lines hold the differences, with their workings.
	Lines          []*iifv1.CorrectionLine
	Amount         money.Pence
	Reason         string
	ProposedBy     string
	ProposedAt     int64
	DecidedBy      string
	DecidedAt      int64
	DecisionReason string
	PaymentMonth   period.Month // from when it may be scheduled; zero before approval
	ScheduleID     string
	Version        int64
}
