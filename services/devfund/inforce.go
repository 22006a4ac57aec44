package devfund

import (
	"context"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// payersOn adds the commissioners that lead networks on a day, with their systems, to those known. Of a day of which no memberships are
// known it adds none.
func (s *Service) payersOn(ctx context.Context, day period.Date, known map[string]string) error {
	req := &registerv1.ListCommissionersRequest{OnDate: day.String()}
	for {
		found, err := s.register.ListCommissioners(ctx, req)
		if err != nil {
			return noneOrFail(err)
		}
		for _, body := range found.GetCommissioners() {
			known[body.GetCommissionerCode()] = body.GetSystemCode()
		}
		if req.PageToken = found.GetNextPageToken(); req.GetPageToken() == "" {
			return nil
		}
	}
}

// inForce refuses receivers that are no commissioners of the pool's system in its year, or no systems, as the register has them. A body
// counts that leads networks when the year's memberships begin, at its end or today. Where the register tells of no system, any is taken;
// places are known to nobody.
func (s *Service) inForce(ctx context.Context, pool *store.AllocationRow, r *receiving) error {
	if !accountsItself(r.level) || len(r.stated) == 0 {
		return nil
	}
	last := pool.Year.Last().Last()
	if today := period.DateOf(s.db.Now()); today.Before(last) {
		last = today
	}
	days := []period.Date{membersOn(pool.Year)}
	if last.After(days[0]) {
		days = append(days, last)
	}
	known := make(map[string]string)
	for _, day := range days {
		if err := s.payersOn(ctx, day, known); err != nil {
			return err
		}
	}
	systems := make(map[string]bool)
	for _, system := range known {
		systems[system] = system != ""
	}
	of := pool.HolderCode
	if pool.Level != devfundv1.AllocationLevel_SYSTEM {
		of = known[pool.CommissionerCode]
	}
	unknown := func(code string) bool { return len(known) > 0 && !systems[code] }
	body := "systems"
	if r.level == devfundv1.AllocationLevel_COMMISSIONER {
		body = "commissioners in force"
		unknown = func(code string) bool {
			system, found := known[code]
			return !found || (systems[of] && system != of)
		}
		if systems[of] {
			body += " of " + of
		}
	}
	var wrong []string
	for _, given := range r.stated {
		if unknown(given.GetCode()) {
			wrong = append(wrong, money.Clip(given.GetCode()))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.Sort(wrong)
	return fault.New(fault.Refused, reasonReceiverUnknown, "no %s in %s: %s; name bodies that the register has then", body, yearWords(pool.Year), strings.Join(wrong, ", ")).
		With("receivers", strings.Join(wrong, ",")).With("level", r.level).With("financial_year", yearWords(pool.Year)).With("system_code", of)
}
