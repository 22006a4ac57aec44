package devfund

import (
	"context"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/tables"
)

// seededBy is the author of what comes with the suite.
const seededBy = "published tables"

// nationalID is the identifier of what the nation holds of a fund in a year, such as PCN_DEV-2020-21.
func nationalID(fund string, year period.FinancialYear) string { return fund + "-" + yearWords(year) }

// seed adds the national allocations and leadership portions that the database lacks; those it has stay as they are.
func (s *Service) seed(ctx context.Context) error {
	var err error
	if s.totals, err = tables.Totals(); err != nil {
		return fmt.Errorf("tables of devfund: %w", err)
	}
	portions, err := tables.Portions()
	if err != nil {
		return fmt.Errorf("tables of devfund: %w", err)
	}
	return s.db.Write(ctx, func(tx *sqldb.Tx) error {
		if err := tx.LockAll(ctx, []string{settingsLock, commissionerLock(rules.England)}); err != nil {
			return err
		}
		if err := seedPortions(ctx, tx, portions); err != nil {
			return err
		}
		return seedTotals(ctx, tx, s.totals)
	})
}

func seedTotals(ctx context.Context, tx *sqldb.Tx, totals []rules.Total) error {
	versions := make(map[string][]store.VersionRow)
	var rows []store.AllocationRow
	for i := range totals {
		total := &totals[i]
		id := nationalID(total.FundCode, total.Year)
		if versions[id] == nil {
			rows = append(rows, store.AllocationRow{
				ID: id, Year: total.Year, FundCode: total.FundCode, Level: devfundv1.AllocationLevel_NATION, HolderCode: rules.England, HolderName: "England",
				CommissionerCode: rules.England, Purpose: devfundv1.AllocationPurpose_GENERAL, Combined: total.Combined, Version: 1,
			})
		}
		versions[id] = append(versions[id], store.VersionRow{
			AllocationID: id, Number: len(versions[id]) + 1, Basis: devfundv1.AllocationBasis(devfundv1.AllocationBasis_value[string(total.Basis)]),
			Amount: total.Amount, Source: total.Source, Confidence: total.Confidence, KnownFrom: total.KnownFrom, Reason: total.Note,
			RecordedBy: seededBy, RecordedAt: sqldb.Micros(tx.Now()),
		})
	}
	held, err := store.AllocationsOf(ctx, tx, keysOf(rows))
	if err != nil {
		return err
	}
	for i := range rows {
		row := &rows[i]
		if _, found := held[row.ID]; found {
			continue
		}
		setAmounts(row, versions[row.ID])
		if err := store.InsertAllocations(ctx, tx, *row); err != nil {
			return err
		}
		if err := store.InsertVersions(ctx, tx, versions[row.ID]...); err != nil {
			return err
		}
	}
	return nil
}

func keysOf(rows []store.AllocationRow) []string {
	out := make([]string, len(rows))
	for i := range rows {
		out[i] = rows[i].ID
	}
	return out
}

// setAmounts sets what an allocation goes by, from everything that was stated of it.
func setAmounts(row *store.AllocationRow, versions []store.VersionRow) {
	row.Planned = amountsOf(row, versions, devfundv1.AllocationBasis_PLANNED).amount()
	row.Released = amountsOf(row, versions, devfundv1.AllocationBasis_RELEASED).amount()
	row.PCNShare = amountsOf(row, versions, devfundv1.AllocationBasis_PCN_SHARE).amount()
}

// seedPortions makes settings of England of the published portions. A year of which none was set has none.
func seedPortions(ctx context.Context, tx *sqldb.Tx, portions []rules.Portion) error {
	held, err := store.Settings(ctx, tx, []string{rules.England}, "", 0, 0)
	if err != nil {
		return err
	}
	known := make(map[string]bool, len(held))
	for i := range held {
		known[held[i].ID] = true
	}
	for i := range portions {
		p := &portions[i]
		if p.Percent == nil || !p.Confidence.Payable() || known[p.ID] {
			continue
		}
		err := store.InsertSetting(ctx, tx, &store.SettingRow{
			ID: p.ID, CommissionerCode: rules.England, Year: p.Year, Name: settingLeadershipPercent, Value: money.Format(p.Percent),
			Reason: p.Source + ": " + p.Note, RecordedBy: seededBy, RecordedAt: sqldb.Micros(tx.Now()),
		})
		if err != nil {
			return err
		}
	}
	return nil
}
