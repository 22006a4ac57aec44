package iif

import (
	"context"
	"fmt"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

// ListSettings returns the settings of a commissioner and those of England, in order of recording.
func (s *Service) ListSettings(ctx context.Context, req *iifv1.ListSettingsRequest) (*iifv1.ListSettingsResponse, error) {
	after, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	scope, err := visible(ctx, req.GetCommissionerCode())
	if err != nil {
		return nil, err
	}
	var rows []store.SettingRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Settings(ctx, q, latest)
		return err
	})
	if err != nil {
		return nil, err
	}
	key := func(r store.SettingRow) string { return fmt.Sprintf("%012d", r.Position) }
	rows = slices.DeleteFunc(rows, func(r store.SettingRow) bool {
		return key(r) <= after || (scope != nil && r.CommissionerCode != rules.England && !slices.Contains(scope, r.CommissionerCode))
	})
	out := new(iifv1.ListSettingsResponse)
	rows, out.NextPageToken = page.Cut(rows, page.Size(req.GetPageSize(), defaultPage), key)
	for i := range rows {
		out.Settings = append(out.Settings, settingToProto(&rows[i]))
	}
	return out, nil
}

// SetSetting changes how a version rounds.
func (s *Service) SetSetting(ctx context.Context, req *iifv1.SetSettingRequest) (*iifv1.SchemeSetting, error) {
	if _, err := (rules.Rounding{}).Apply(req.GetName(), req.GetValue()); err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*iifv1.SchemeSetting, error) {
		if err := tx.Lock(ctx, figuresLock); err != nil {
			return nil, err
		}
		known, _, err := s.scheme(ctx, tx, latest)
		if err != nil {
			return nil, err
		}
		row := store.SettingRow{
			Setting: rules.Setting{
				ID: tx.NewID(), CommissionerCode: orEngland(req.GetCommissionerCode()), VersionID: req.GetVersionId(), Name: req.GetName(), Value: req.GetValue(),
			},
			Reason: req.GetReason(), RecordedAt: sqldb.Micros(tx.Now()), RecordedBy: tx.By.Subject,
		}
		year, found := yearOfVersion(known, row.CommissionerCode, row.VersionID)
		if !found {
			return nil, fault.New(fault.Invalid, reasonFigureSubjectInvalid, "there is no version %q of the scheme", money.Clip(row.VersionID)).
				At("version_id", "a version that ListFigures shows")
		}
		if err := store.InsertSetting(ctx, tx.Tx, &row); err != nil {
			return nil, err
		}
		words := fmt.Sprintf("%s of %s is %s", row.Name, row.VersionID, row.Value)
		if _, err := s.rework(ctx, tx, changed{year: year, commissioner: row.CommissionerCode, cause: rules.FigureChanged, words: words}); err != nil {
			return nil, err
		}
		return settingToProto(&row), tx.Record(ctx, "iif/settings/"+row.ID, req.GetCommissionerCode(), words+": "+row.Reason)
	})
}

// yearOfVersion returns the year of a version that a commissioner knows.
func yearOfVersion(s *rules.Scheme, commissioner, id string) (period.FinancialYear, bool) {
	i := slices.IndexFunc(s.Versions, func(v rules.Version) bool {
		return v.VersionID == id && (v.CommissionerCode == rules.England || v.CommissionerCode == commissioner)
	})
	if i < 0 {
		return 0, false
	}
	return s.Versions[i].Year, true
}

func settingToProto(s *store.SettingRow) *iifv1.SchemeSetting {
	return &iifv1.SchemeSetting{
		SettingId: s.ID, CommissionerCode: s.CommissionerCode, VersionId: s.VersionID, Name: s.Name, Value: s.Value, Reason: s.Reason,
		RecordedAt: timestamp(s.RecordedAt), RecordedBy: s.RecordedBy,
	}
}
