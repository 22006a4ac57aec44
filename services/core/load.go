package core

import (
	"context"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/core/internal/store"
)

// unlimited is the limit of lists that a computation needs whole.
const unlimited = 1 << 30

// knownAt returns the moment whose knowledge is meant; 0 means now.
func (s *Service) knownAt(micros int64) int64 {
	if micros != 0 {
		return micros
	}
	return sqldb.Micros(s.db.Now())
}

func loadRates(ctx context.Context, q sqldb.Querier, knownAt int64) ([]rules.Rate, error) {
	rows, err := store.Rates(ctx, q, knownAt)
	if err != nil {
		return nil, err
	}
	out := make([]rules.Rate, len(rows))
	for i, row := range rows {
		out[i] = row.Rate
	}
	return out, nil
}

func loadSettings(ctx context.Context, q sqldb.Querier, commissioner string, knownAt int64) ([]rules.Setting, error) {
	rows, err := store.Settings(ctx, q, commissioner, knownAt)
	if err != nil {
		return nil, err
	}
	out := make([]rules.Setting, len(rows))
	for i, row := range rows {
		out[i] = row.Setting
	}
	return out, nil
}

// decisions are what persons decided about payments of some commissioners.
type decisions struct {
	withholdings []rules.Withholding
	declarations []rules.Declaration
}

func loadDecisions(ctx context.Context, q sqldb.Querier, commissioners []string, knownAt int64) (decisions, error) {
	var out decisions
	withheld, err := store.Withholdings(ctx, q, store.WithholdingFilter{
		Commissioners: commissioners, OpenOnly: true, KnownAt: knownAt, Limit: unlimited,
	})
	if err != nil {
		return out, err
	}
	for _, row := range withheld {
		out.withholdings = append(out.withholdings, row.Withholding)
	}
	declared, err := store.Declarations(ctx, q, store.DeclarationFilter{
		Commissioners: commissioners, State: store.Accepted, KnownAt: knownAt, Limit: unlimited,
	})
	if err != nil {
		return out, err
	}
	for _, row := range declared {
		out.declarations = append(out.declarations, row.Declaration)
	}
	return out, nil
}

// loadWaiting returns why a group of an earlier month was refused or withheld when it was last scheduled.
func loadWaiting(ctx context.Context, q sqldb.Querier, commissioners []string, closed map[period.Month]bool) (func(rules.Group) string, error) {
	type waiting struct{ month, payment, pcn, practice string }
	reasons := make(map[waiting]string)
	schedules, err := store.Schedules(ctx, q, store.ScheduleFilter{Commissioners: commissioners, Limit: unlimited})
	if err != nil {
		return nil, err
	}
	for i := range schedules {
		if !closed[schedules[i].Month] {
			continue
		}
		for _, refusal := range schedules[i].Refusals {
			eachRefused(refusal, func(pcn, practice string) {
				reasons[waiting{refusal.GetForMonth(), refusal.GetPaymentCode(), pcn, practice}] = refusal.GetReason()
			})
		}
		for _, w := range schedules[i].Withheld {
			reasons[waiting{w.GetForMonth(), w.GetPaymentCode(), w.GetPcnCode(), w.GetPracticeCode()}] = w.GetReason()
		}
	}
	return func(g rules.Group) string {
		if g.PracticeCode != "" {
			if reason, found := reasons[waiting{g.ForMonth.String(), g.PaymentCode, "", g.PracticeCode}]; found {
				return reason
			}
		}
		return reasons[waiting{g.ForMonth.String(), g.PaymentCode, g.PCNCode, g.PracticeCode}]
	}, nil
}

// eachRefused calls fn for every PCN and every practice of a refusal.
func eachRefused(refusal *typev1.Refusal, fn func(pcn, practice string)) {
	for _, code := range refusal.GetPcnCodes() {
		fn(code, "")
	}
	for _, code := range refusal.GetPracticeCodes() {
		fn("", code)
	}
}
