package activity

import (
	"context"
	"fmt"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/store"
)

// ListSettings returns the settings of a commissioner and those of England, in order of recording.
func (s *Service) ListSettings(ctx context.Context, req *activityv1.ListSettingsRequest) (*activityv1.ListSettingsResponse, error) {
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
		rows, err = store.Settings(ctx, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	key := func(r store.SettingRow) string { return fmt.Sprintf("%012d", r.Position) }
	rows = slices.DeleteFunc(rows, func(r store.SettingRow) bool {
		return key(r) <= after || (scope != nil && r.CommissionerCode != rules.England && !slices.Contains(scope, r.CommissionerCode))
	})
	out := new(activityv1.ListSettingsResponse)
	rows, out.NextPageToken = page.Cut(rows, page.Size(req.GetPageSize(), defaultPage), key)
	for i := range rows {
		out.Settings = append(out.Settings, settingToProto(&rows[i]))
	}
	return out, nil
}

// SetSetting chooses something, from now on. Reports that were built stay as they are.
func (s *Service) SetSetting(ctx context.Context, req *activityv1.SetSettingRequest) (*activityv1.Setting, error) {
	setting := rules.Setting{CommissionerCode: orEngland(req.GetCommissionerCode()), Name: req.GetName(), Subject: req.GetSubject(), Value: req.GetValue()}
	if err := setting.Check(); err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*activityv1.Setting, error) {
		if err := tx.Lock(ctx, figuresLock); err != nil {
			return nil, err
		}
		row := store.SettingRow{Setting: setting, Reason: req.GetReason(), RecordedAt: sqldb.Micros(tx.Now()), RecordedBy: tx.By.Subject}
		row.ID = tx.NewID()
		if err := store.InsertSetting(ctx, tx.Tx, &row); err != nil {
			return nil, err
		}
		out := settingToProto(&row)
		if _, err := tx.Announce(ctx, "setting/"+row.CommissionerCode+"/"+row.Name, req.GetCommissionerCode(), &activityv1.SettingChanged{Setting: out}); err != nil {
			return nil, err
		}
		words := row.Name
		if row.Subject != "" {
			words += " of " + row.Subject
		}
		return out, tx.Record(ctx, "activity/settings/"+row.ID, req.GetCommissionerCode(), fmt.Sprintf("%s is %s: %s", words, row.Value, row.Reason))
	})
}
