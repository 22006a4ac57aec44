package store_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

// conform runs one promise of the store on both databases.
func conform(t *testing.T, promise func(t *testing.T, db *sqldb.DB)) {
	t.Parallel()
	testkit.Databases(t, func(t *testing.T, open func(t *testing.T) *sqldb.DB) {
		t.Helper()
		db := open(t)
		require.NoError(t, db.Migrate(t.Context(), store.Migrations()))
		promise(t, db)
	})
}

func month(t *testing.T, text string) period.Month {
	t.Helper()
	m, err := period.ParseMonth(text)
	require.NoError(t, err)
	return m
}

func TestPayeeNames_AreThoseOfTheLastRun(t *testing.T) {
	conform(t, func(t *testing.T, db *sqldb.DB) {
		require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
			for _, r := range []struct {
				month, commissioner string
				number              int
				payee, name         string
			}{
				{"2022-05", "15N", 1, "P1", "older number"}, {"2022-05", "15N", 2, "P1", "newest"}, {"2022-04", "QJK", 3, "P1", "older month"}, {"2022-04", "QJK", 1, "P2", "only"},
			} {
				run := store.RunRow{ID: fmt.Sprintf("%s-%s-%d", r.commissioner, r.month, r.number), CommissionerCode: r.commissioner, Month: month(t, r.month), Number: r.number}
				run.State = paymentsv1.RunState_RUN_STATE_WITHDRAWN
				require.NoError(t, store.InsertRun(t.Context(), tx, run))
				require.NoError(t, store.InsertFrozen(t.Context(), tx, run.ID, nil, []rules.PayeeTotal{{PayeeCode: r.payee, PayeeName: r.name}}))
			}
			return nil
		}))
		require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) error {
			got, err := store.PayeeNames(t.Context(), q, []string{"P1", "P2", "P3"})
			require.Equal(t, map[string]string{"P1": "newest", "P2": "only"}, got)
			return err
		}))
	})
}

// exec runs statements in one transaction.
func exec(t *testing.T, db *sqldb.DB, statements ...string) error {
	t.Helper()
	return db.Write(t.Context(), func(tx *sqldb.Tx) error {
		for _, statement := range statements {
			if _, err := tx.Exec(t.Context(), statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// fill writes a row of every table that is frozen.
func fill(t *testing.T, db *sqldb.DB) {
	t.Helper()
	april := month(t, "2022-04")
	line := &typev1.PaymentLine{LineId: "l1", ForMonth: "2022-04", Instruction: typev1.Instruction_INSTRUCTION_PAY, AmountPence: 100, Payee: &typev1.Payee{Code: "P1"}}
	require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
		ctx := t.Context()
		header := &typev1.PaymentSchedule{ScheduleId: "s1", Fund: typev1.Fund_FUND_CORE, CommissionerCode: "15N", Month: "2022-04", Sequence: 1}
		require.NoError(t, store.InsertSchedule(ctx, tx, store.ScheduleRow{Header: header, EventID: "e1"}, []*typev1.PaymentLine{line}))
		require.NoError(t, store.InsertItems(ctx, tx, []store.LineRow{{Line: line, Month: "2022-04", CommissionerCode: "15N", RunID: "r1"}}))
		run := store.RunRow{ID: "r1", CommissionerCode: "15N", Month: april, Number: 1, State: paymentsv1.RunState_RUN_STATE_ASSEMBLED, Version: 1}
		require.NoError(t, store.InsertRun(ctx, tx, run))
		run.State, run.SubmittedBy = paymentsv1.RunState_RUN_STATE_SUBMITTED, "maker"
		updated, err := store.UpdateRun(ctx, tx, &run)
		require.NoError(t, err)
		require.True(t, updated)
		require.NoError(t, store.InsertFrozen(ctx, tx, "r1", []rules.RunItem{{LineID: "l1", PayeeCode: "P1", Amount: 100}},
			[]rules.PayeeTotal{{PayeeCode: "P1", Lines: 1, LinesTotal: 100, Net: 100}}))
		require.NoError(t, store.InsertApproval(ctx, tx, run, "ann"))
		require.NoError(t, store.InsertExport(ctx, tx, store.ExportRow{ID: "x1", RunID: "r1", CommissionerCode: "15N", Format: 1, Instructs: true, Content: []byte("file")}))
		require.NoError(t, store.InsertImport(ctx, tx, store.ImportRow{ID: "i1", CommissionerCode: "15N", Kind: 1, SHA256: "h"}, []store.FileRow{{Line: 2}}))
		require.NoError(t, store.InsertEntitlements(ctx, tx, "e2", 1, []store.Entitlement{{Fund: 1, CommissionerCode: "15N", PCNCode: "U1", From: april, To: april, Instalments: 1}}))
		require.NoError(t, store.InsertSetting(ctx, tx, "expected_funds", &paymentsv1.Setting{SettingId: "c1", FromMonth: "2022-04"}))
		require.NoError(t, store.InsertMappings(ctx, tx, "15N", "ann", []*paymentsv1.CodeMapping{{MappingId: "m1", Stream: "CORE_PCN"}}))
		require.NoError(t, store.InsertSuppliers(ctx, tx, "15N", "ann", []*paymentsv1.Supplier{{PayeeCode: "P1", EffectiveFrom: "2022-04-01"}}))
		move := &paymentsv1.Move{MoveId: "v1", FromCommissionerCode: "15N", ToCommissionerCode: "QJK", State: paymentsv1.MoveState_MOVE_STATE_PROPOSED, ProposedBy: "ann"}
		require.NoError(t, store.InsertProposal(ctx, tx, move))
		move.State = paymentsv1.MoveState_MOVE_STATE_CONFIRMED
		updated, err = store.DecideProposal(ctx, tx, move, "bob")
		require.NoError(t, err)
		require.True(t, updated)
		require.NoError(t, store.InsertMove(ctx, tx, move))
		return store.Post(ctx, tx, "ann", april.Last(), []rules.Posting{{
			CommissionerCode: "15N", Kind: rules.Accrual, Source: "schedule/s1", Entries: rules.Moved("P1", rules.Expense, rules.Accrued, []rules.Amount{{Fund: 1, LineID: "l1", Pence: 100}}),
		}})
	}))
}

func TestTables_AreFrozen(t *testing.T) {
	conform(t, func(t *testing.T, db *sqldb.DB) {
		fill(t, db)
		db = testkit.Owner(t, db)
		for table, column := range map[string]string{
			"schedules": "month", "lines": "amount_pence", "entitlements": "amount_pence", "approvals": "approved_by", "run_lines": "amount_pence",
			"run_payees": "net_pence", "exports": "content", "settings": "value", "code_mappings": "value", "suppliers": "value", "imports": "rows_read",
			"imported_rows": "outcome", "moves": "value", "postings": "source", "entries": "amount_pence",
		} {
			for _, statement := range []string{"UPDATE " + table + " SET " + column + " = " + column, "DELETE FROM " + table} {
				require.ErrorContains(t, exec(t, db, statement), table+" is append-only", statement)
			}
		}
	})
}

// entry and posting write rows of the ledger by plain SQL.
func entry(posting, number, code, amount, day, at string) string {
	return `INSERT INTO entries (posting_id, number, commissioner_code, fund, payee_code, stage, amount_pence, line_id, effective_date, recorded_at)
		VALUES ('` + posting + `', ` + number + `, '` + code + `', 1, 'P1', 1, ` + amount + `, 'l1', '` + day + `', ` + at + `)`
}

func posting(id, count, reverses string) string {
	return `INSERT INTO postings (posting_id, commissioner_code, kind, effective_date, recorded_at, source, reverses, recorded_by, entry_count)
		VALUES ('` + id + `', '15N', 1, '2022-04-30', 7, 'test', '` + reverses + `', 'ann', ` + count + `)`
}

func TestLedger_RefusesWhatDoesNotBalance(t *testing.T) {
	conform(t, func(t *testing.T, db *sqldb.DB) {
		fill(t, db)
		debit := entry("p", "1", "15N", "5", "2022-04-30", "7")
		credit := entry("p", "2", "15N", "-5", "2022-04-30", "7")
		for name, statements := range map[string][]string{
			"a penny off":            {debit, entry("p", "2", "15N", "-4", "2022-04-30", "7"), posting("p", "2", "")},
			"one entry":              {debit, posting("p", "1", "")},
			"an entry less":          {debit, credit, posting("p", "3", "")},
			"an entry more":          {debit, credit, entry("p", "3", "15N", "1", "2022-04-30", "7"), entry("p", "4", "15N", "-1", "2022-04-30", "7"), posting("p", "2", "")},
			"none":                   {posting("p", "2", "")},
			"another's books":        {debit, entry("p", "2", "QJK", "-5", "2022-04-30", "7"), posting("p", "2", "")},
			"another day":            {debit, entry("p", "2", "15N", "-5", "2022-05-01", "7"), posting("p", "2", "")},
			"another moment":         {debit, entry("p", "2", "15N", "-5", "2022-04-30", "8"), posting("p", "2", "")},
			"an entry of nothing":    {debit, credit, entry("p", "3", "15N", "0", "2022-04-30", "7"), posting("p", "3", "")},
			"no posting":             {debit, credit},
			"late entries":           {debit, credit, posting("p", "2", ""), entry("p", "3", "15N", "1", "2022-04-30", "7"), entry("p", "4", "15N", "-1", "2022-04-30", "7")},
			"reversed twice":         {debit, credit, posting("p", "2", "old"), entry("q", "1", "15N", "5", "2022-04-30", "7"), entry("q", "2", "15N", "-5", "2022-04-30", "7"), posting("q", "2", "old")},
			"the same posting again": {debit, credit, posting("p", "2", ""), posting("p", "2", "")},
		} {
			require.Error(t, exec(t, db, statements...), name)
		}
		require.NoError(t, exec(t, db, debit, credit, posting("p", "2", "")))
		require.Error(t, exec(t, db, entry("p", "3", "15N", "1", "2022-04-30", "7"), entry("p", "4", "15N", "-1", "2022-04-30", "7")), "in a later transaction")
	})
}

func TestTables_RefuseWhatCannotBe(t *testing.T) {
	conform(t, func(t *testing.T, db *sqldb.DB) {
		fill(t, db)
		payees := `INSERT INTO run_payees (run_id, payee_code, payee_name, lines, lines_pence, brought_forward_pence, carried_forward_pence, net_pence) VALUES ('r1', 'P9', '', 1, `
		payment := `INSERT INTO payments (payment_id, run_id, commissioner_code, payee_code, payee_name, amount_pence, state, sent_at) VALUES `
		for name, statement := range map[string]string{
			"an approver who is the maker": `INSERT INTO approvals (run_id, approved_by, submitted_by, approved_at) VALUES ('r1', 'maker', 'maker', 1)`,
			"an approver twice":            `INSERT INTO approvals (run_id, approved_by, submitted_by, approved_at) VALUES ('r1', 'ann', 'maker', 1)`,
			"a maker who rejects":          `UPDATE runs SET state = 6, ended_by = 'maker'`,
			"a run submitted by nobody":    `UPDATE runs SET submitted_by = ''`,
			"a net sum below zero":         payees + `-5, 0, 0, -5)`,
			"a penny lost":                 payees + `5, 0, 0, 4)`,
			"a recovery the wrong way":     payees + `5, 5, 0, 10)`,
			"a payment of nothing":         payment + `('y', 'r1', '15N', 'P9', '', 0, 1, 1)`,
			"a payment below zero":         payment + `('y', 'r1', '15N', 'P9', '', -1, 1, 1)`,
			"two payments to one":          payment + `('y', 'r1', '15N', 'P9', '', 1, 1, 1), ('z', 'r1', '15N', 'P9', '', 1, 1, 1)`,
			"a payment of no run":          payment + `('y', 'r9', '15N', 'P9', '', 1, 1, 1)`,
			"a second file that instructs": `INSERT INTO exports (export_id, run_id, commissioner_code, format, instructs, payments, amount_pence, sha256, size_bytes, file_name, content, exported_by, exported_at)
				SELECT 'x2', run_id, commissioner_code, 2, TRUE, 0, 0, '', 0, '', content, '', 0 FROM exports`,
			"a line of nothing":            `INSERT INTO lines SELECT 'l2', schedule_id, fund, commissioner_code, month, for_month, payment_code, pcn_code, practice_code, payee_code, 1, 0, message FROM lines`,
			"an item of no line":           `INSERT INTO items (line_id, commissioner_code, month, payee_code, location_code, state) VALUES ('l9', '15N', '2022-04', 'P1', '', 1)`,
			"an item twice":                `INSERT INTO items SELECT * FROM items`,
			"a hold on nothing":            `INSERT INTO holds (hold_id, commissioner_code, payee_code, line_id, reason_code, reason, placed_by, placed_at) VALUES ('h', '15N', '', '', '', '', '', 1)`,
			"a move to itself":             `INSERT INTO moves SELECT 'v2', from_code, from_code, effective_date, value, moved_at FROM moves`,
			"a schedule of a number twice": `INSERT INTO schedules SELECT 's2', fund, commissioner_code, month, sequence, lines_sha256, header, event_id, received_at FROM schedules`,
		} {
			require.Error(t, exec(t, db, statement), name)
		}
		one := `INSERT INTO runs (run_id, commissioner_code, commissioner_name, month, number, state, totals, funds, assembled_at) SELECT `
		require.Error(t, exec(t, db, one+`'r2', commissioner_code, '', month, 2, 1, totals, funds, 1 FROM runs`, one+`'r3', commissioner_code, '', month, 3, 1, totals, funds, 1 FROM runs WHERE run_id = 'r1'`),
			"two runs of a month that are assembled")
	})
}

// What passes takes two persons, whatever a program sends.
func TestMoves_TakeAConfirmedProposal(t *testing.T) {
	conform(t, func(t *testing.T, db *sqldb.DB) {
		fill(t, db)
		const move = `INSERT INTO moves SELECT 'v2', 'QJK', 'QU9', effective_date, value, moved_at FROM moves`
		propose := func(id, from, to, state, by, decided string) string {
			return `INSERT INTO move_proposals (move_id, from_code, to_code, state, value, proposed_by, proposed_at, decided_by)
				SELECT '` + id + `', '` + from + `', '` + to + `', ` + state + `, value, '` + by + `', 1, '` + decided + `' FROM moves`
		}
		for name, statements := range map[string][]string{
			"no proposal":               {move},
			"of another move":           {propose("v3", "QJK", "QU9", "2", "ann", "bob"), move},
			"of another predecessor":    {propose("v2", "15N", "QU9", "2", "ann", "bob"), move},
			"of another successor":      {propose("v2", "QJK", "QOC", "2", "ann", "bob"), move},
			"that waits":                {propose("v2", "QJK", "QU9", "1", "ann", ""), move},
			"that was withdrawn":        {propose("v2", "QJK", "QU9", "3", "ann", "bob"), move},
			"confirmed by its proposer": {propose("v2", "QJK", "QU9", "2", "ann", "ann"), move},
		} {
			require.Error(t, exec(t, db, statements...), name)
		}
		require.NoError(t, exec(t, db, propose("v2", "QJK", "QU9", "2", "ann", "bob"), move))
	})
}

func TestTransfersOfPCN_AreOfItsLinesAndPayees(t *testing.T) {
	conform(t, func(t *testing.T, db *sqldb.DB) {
		fill(t, db)
		ctx := t.Context()
		line := func(id, pcn, payee string) *typev1.PaymentLine {
			return &typev1.PaymentLine{LineId: id, ForMonth: "2022-04", Instruction: typev1.Instruction_INSTRUCTION_PAY, AmountPence: 100, PcnCode: pcn, Payee: &typev1.Payee{Code: payee}}
		}
		passes := func(payee string, entries ...rules.Entry) rules.Posting {
			out := rules.Posting{CommissionerCode: "15N", Kind: rules.Transfer, Source: "move/v1"}
			for _, e := range entries {
				e.Fund, e.PayeeCode, e.Amount = 1, payee, 100
				out.Entries = append(out.Entries, e)
				e.Stage, e.Amount = rules.Transferred, -100
				out.Entries = append(out.Entries, e)
			}
			return out
		}
		require.NoError(t, db.Write(ctx, func(tx *sqldb.Tx) error {
			header := &typev1.PaymentSchedule{ScheduleId: "s2", Fund: typev1.Fund_FUND_CORE, CommissionerCode: "15N", Month: "2022-04", Sequence: 2}
			require.NoError(t, store.InsertSchedule(ctx, tx, store.ScheduleRow{Header: header, EventID: "e9"}, []*typev1.PaymentLine{line("a", "U1", "P1"), line("b", "U1", "P3"), line("c", "U2", "P2")}))
			require.NoError(t, store.InsertParts(ctx, tx, "r1", []rules.Part{{PayeeCode: "P1", PCNCode: "U1", LinesTotal: 100}}))
			return store.Post(ctx, tx, "ann", month(t, "2022-04").Last(), []rules.Posting{
				passes("P1", rules.Entry{Stage: rules.Accrued, LineID: "a"}, rules.Entry{Stage: rules.Sent, LineID: "c"}, rules.Entry{Stage: rules.Accrued, LineID: "c"}, rules.Entry{Stage: rules.Recovered}),
				passes("P2", rules.Entry{Stage: rules.Accrued, LineID: "c"}, rules.Entry{Stage: rules.Sent, LineID: "c"}, rules.Entry{Stage: rules.Recovered}),
				passes("P3", rules.Entry{Stage: rules.Accrued, LineID: "b"}, rules.Entry{Stage: rules.Recovered}),
			})
		}))
		var got []store.TransferRow
		require.NoError(t, db.Read(ctx, func(q sqldb.Querier) (err error) {
			got, err = store.TransfersOfPCN(ctx, q, "U1", []string{"15N", "QJK"})
			return err
		}))
		row := func(stage rules.Stage, payee, line string) store.TransferRow {
			return store.TransferRow{Source: "move/v1", CommissionerCode: "15N", Stage: stage, PayeeCode: payee, LineID: line}
		}
		require.Equal(t, []store.TransferRow{
			row(rules.Accrued, "P1", "a"), row(rules.Accrued, "P3", "b"), row(rules.Sent, "P1", ""), row(rules.Recovered, "P1", ""),
		}, got, "what passed for others is not read")
	})
}

func TestEntitlements_ComeOnce(t *testing.T) {
	conform(t, func(t *testing.T, db *sqldb.DB) {
		april := month(t, "2022-04")
		stated := []store.Entitlement{{Fund: 1, CommissionerCode: "15N", PCNCode: "U1", PaymentCode: "CORE_PCN", From: april, To: april, Instalments: 1, Amount: 5}}
		count := 0
		require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
			for range 2 {
				if err := store.InsertEntitlements(t.Context(), tx, "e", 1, stated); err != nil {
					return err
				}
			}
			return tx.QueryRow(t.Context(), `SELECT COUNT(*) FROM entitlements`).Scan(&count)
		}))
		require.Equal(t, 1, count, "the same event again changes nothing, and the transaction goes on")
		require.Error(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
			return store.InsertEntitlements(t.Context(), tx, "f", 1, append(stated, stated...))
		}), "an event that states one amount twice is not dropped in silence")
	})
}
