package devfund

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"strconv"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// Names of settings.
const (
	settingUnspentPolicy     = "UNSPENT_POLICY"
	settingLeadershipPercent = "LEADERSHIP_PERCENT"
	settingSpendDueDay       = "SPEND_DUE_DAY"
)

// setting returns what holds for a commissioner in a year: its own newest setting, else England's, else the default, which has no
// identifier. The value is empty where nothing holds: no leadership percentage was set after 2019/20, and no day by which spend is due.
func (s *Service) setting(ctx context.Context, q sqldb.Querier, commissioner string, year period.FinancialYear, name string) (store.SettingRow, error) {
	for _, code := range []string{commissioner, rules.England} {
		row, err := store.NewestSetting(ctx, q, code, year, name)
		if err == nil || !errors.Is(err, sql.ErrNoRows) {
			return row, err
		}
	}
	out := store.SettingRow{CommissionerCode: rules.England, Year: year, Name: name}
	if name == settingUnspentPolicy {
		out.Value = devfundv1.UnspentPolicy_FLAGGED.String()
	}
	return out, nil
}

// lastDueDay is the last day that every month has.
const lastDueDay = 28

// checkSetting refuses a name that no setting has, and a value that its name cannot take.
func checkSetting(name, value string) error {
	wrong := func(field, want string) error {
		return fault.New(fault.Invalid, reasonSettingMalformed, "%s: %q is not %s", field, money.Clip(value), want).
			With("name", money.Clip(name)).With("value", money.Clip(value)).At(field, want)
	}
	switch name {
	case settingUnspentPolicy:
		if devfundv1.UnspentPolicy_value[value] == 0 {
			return wrong("value", "FLAGGED, RETURN_TO_SYSTEM or CARRY_FORWARD_WITH_APPROVAL")
		}
	case settingLeadershipPercent:
		percent, err := money.ParseDecimal(value)
		if err != nil || percent.Sign() < 0 || percent.Cmp(big.NewRat(100, 1)) > 0 {
			return wrong("value", "a percentage between 0 and 100")
		}
	case settingSpendDueDay:
		day, err := strconv.Atoi(value)
		if err != nil || day < 1 || day > lastDueDay || strconv.Itoa(day) != value {
			return wrong("value", "a day between 1 and 28 of the following month")
		}
	default:
		return fault.New(fault.Invalid, reasonSettingMalformed, "there is no setting %q: UNSPENT_POLICY, LEADERSHIP_PERCENT or SPEND_DUE_DAY", money.Clip(name)).
			With("name", money.Clip(name)).At("name", "UNSPENT_POLICY, LEADERSHIP_PERCENT or SPEND_DUE_DAY")
	}
	return nil
}

// ListSettings returns the settings of a commissioner and those of England, newest first.
func (s *Service) ListSettings(ctx context.Context, req *devfundv1.ListSettingsRequest) (*devfundv1.ListSettingsResponse, error) {
	key, size, scope, err := listed(ctx, req)
	if err != nil {
		return nil, err
	}
	if scope != nil {
		scope = append(scope, rules.England)
	}
	year, err := listedYear(req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	var before int64
	if key != "" {
		if before, err = strconv.ParseInt(key, 10, 64); err != nil {
			return nil, fault.New(fault.Invalid, page.ReasonToken, "the page token is not one that this list gave out").At("page_token", "use next_page_token of the page before")
		}
	}
	var rows []store.SettingRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Settings(ctx, q, scope, year, before, size+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(devfundv1.ListSettingsResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r store.SettingRow) string { return strconv.FormatInt(r.Position, 10) })
	for i := range rows {
		out.Settings = append(out.Settings, settingToProto(&rows[i]))
	}
	return out, nil
}

// SetSetting sets a local policy for a year, or one of England.
func (s *Service) SetSetting(ctx context.Context, req *devfundv1.SetSettingRequest) (*devfundv1.FundSetting, error) {
	year, err := planYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	if err := checkSetting(req.GetName(), req.GetValue()); err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*devfundv1.FundSetting, error) {
		if err := tx.Lock(ctx, settingsLock); err != nil {
			return nil, err
		}
		row := store.SettingRow{
			ID: tx.NewID(), CommissionerCode: orEngland(req.GetCommissionerCode()), Year: year, Name: req.GetName(), Value: req.GetValue(),
			Reason: req.GetReason(), RecordedBy: tx.By.Subject, RecordedAt: sqldb.Micros(tx.Now()),
		}
		if err := store.InsertSetting(ctx, tx.Tx, &row); err != nil {
			return nil, err
		}
		summary := fmt.Sprintf("%s of %s is %s: %s", row.Name, row.Year, row.Value, row.Reason)
		return settingToProto(&row), tx.Record(ctx, "devfund/settings/"+row.ID, row.CommissionerCode, summary)
	})
}

func settingToProto(r *store.SettingRow) *devfundv1.FundSetting {
	return &devfundv1.FundSetting{
		SettingId: r.ID, CommissionerCode: r.CommissionerCode, FinancialYear: yearWords(r.Year), Name: r.Name, Value: r.Value, Reason: r.Reason,
		RecordedBy: r.RecordedBy, RecordedAt: timestamp(r.RecordedAt),
	}
}
