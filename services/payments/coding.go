package payments

import (
	"cmp"
	"context"
	"math/big"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/export"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

// Funding streams that are no payment of a fund.
const (
	streamControl  = "CONTROL"
	streamRecovery = "RECOVERY"
)

// formats pairs the formats of the contract with those that are rendered.
var formats = map[paymentsv1.Format]export.Format{
	paymentsv1.Format_FORMAT_JOURNAL:           export.Journal,
	paymentsv1.Format_FORMAT_PAYABLES_INVOICES: export.PayablesInvoices,
	paymentsv1.Format_FORMAT_PCSE_VARIATION:    export.PCSEVariation,
	paymentsv1.Format_FORMAT_PAIN_001:          export.Pain001,
	paymentsv1.Format_FORMAT_REMITTANCE:        export.Remittance,
	paymentsv1.Format_FORMAT_TRANSPARENCY:      export.Transparency,
}

// formatName writes a format as identifiers spell it, such as payables-invoices.
func formatName(format paymentsv1.Format) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(format.String(), "FORMAT_"), "_", "-"))
}

var signRules = map[paymentsv1.SignRule]export.SignRule{
	paymentsv1.SignRule_SIGN_RULE_DEBIT_CREDIT:    export.DebitCredit,
	paymentsv1.SignRule_SIGN_RULE_DEBIT_POSITIVE:  export.DebitPositive,
	paymentsv1.SignRule_SIGN_RULE_CREDIT_POSITIVE: export.CreditPositive,
}

var treatments = map[paymentsv1.VatTreatment]export.Treatment{
	paymentsv1.VatTreatment_VAT_TREATMENT_NOT_ASSESSED:  export.NotAssessed,
	paymentsv1.VatTreatment_VAT_TREATMENT_EXEMPT:        export.Exempt,
	paymentsv1.VatTreatment_VAT_TREATMENT_OUTSIDE_SCOPE: export.OutsideScope,
	paymentsv1.VatTreatment_VAT_TREATMENT_ZERO:          export.ZeroRated,
	paymentsv1.VatTreatment_VAT_TREATMENT_STANDARD:      export.StandardRate,
	paymentsv1.VatTreatment_VAT_TREATMENT_REDUCED:       export.ReducedRate,
}

// profileFromProto lays a commissioner's profile over the default of its format.
func profileFromProto(in *paymentsv1.ExportProfile) (export.Profile, error) {
	format, known := formats[in.GetFormat()]
	if !known {
		return export.Profile{}, fault.New(fault.Invalid, rules.ReasonFormatInvalid, "a profile is of one of the formats").At("export_profile.format", "one of the formats")
	}
	out, err := export.Default(format)
	if err != nil {
		return out, err
	}
	if rule, stated := signRules[in.GetSignRule()]; stated {
		if format == export.Journal {
			out = export.DefaultJournal(rule)
		}
		out.SignRule = rule
	}
	if len(in.GetColumns()) > 0 {
		out.Columns = nil
		for _, column := range in.GetColumns() {
			out.Columns = append(out.Columns, export.Column{Header: column.GetHeader(), Field: export.Field(column.GetField()), Constant: column.GetConstant()})
		}
	}
	if in.GetDelimiter() != "" {
		out.Delimiter = []rune(in.GetDelimiter())[0]
	}
	if in.GetDateFormat() != "" {
		out.DateFormat = export.DateFormat(in.GetDateFormat())
	}
	out.HeaderRow = out.HeaderRow && !in.GetNoHeader()
	return out, out.Check()
}

// layout is how a commissioner's files of one format are laid out and coded on a day.
type layout struct {
	format    paymentsv1.Format
	profile   export.Profile
	coding    export.Coding
	mappings  []*paymentsv1.CodeMapping
	suppliers map[string]*paymentsv1.Supplier
	on        period.Date
}

// asOf is a day whose codes and suppliers hold, and the moment up to which they are known: 0 is now.
type asOf struct {
	on    period.Date
	known int64 // microseconds
}

// layoutFor loads the profile that holds in a month, and the codes and suppliers that hold on a day.
func layoutFor(ctx context.Context, q sqldb.Querier, code string, format paymentsv1.Format, month period.Month, as asOf) (*layout, error) {
	setting, err := store.SettingFor(ctx, q, code, kindExportProfile+formatName(format), month)
	if err != nil {
		return nil, err
	}
	stated := setting.GetExportProfile()
	if stated == nil {
		stated = &paymentsv1.ExportProfile{Format: format}
	}
	out := &layout{format: format, suppliers: make(map[string]*paymentsv1.Supplier), on: as.on}
	if out.profile, err = profileFromProto(stated); err != nil {
		return nil, err
	}
	if out.mappings, err = store.Mappings(ctx, q, store.MappingFilter{CommissionerCode: code, Known: as.known}); err != nil {
		return nil, err
	}
	suppliers, err := store.Suppliers(ctx, q, store.SupplierFilter{CommissionerCode: code, On: as.on.String(), Known: as.known})
	if err != nil {
		return nil, err
	}
	for _, supplier := range suppliers {
		out.suppliers[supplier.GetPayeeCode()] = supplier
	}
	texts := stated.GetTexts()
	control, _ := out.codes(streamControl, month.FinancialYear(), "", "")
	out.coding = export.Coding{
		Control: control, JournalSource: texts[textJournalSource], JournalCategory: texts[textJournalCategory],
		DepartmentFamily: texts[textDepartmentFamily], Approver: texts[textApprover],
		Payer:              export.Payer{Name: texts[textPayerName], AccountToken: texts[textPayerToken]},
		ParticipationCodes: strings.Fields(cmp.Or(texts[textParticipationCodes], "NPP")),
	}
	return out, nil
}

// codes returns the segments and the VAT treatment of a stream: of the mappings that hold on the day, the one that names the
// practice, then the PCN, then the year, and of equals the newest.
func (l *layout) codes(stream string, year period.FinancialYear, pcn, practice string) (export.Segments, export.VAT) {
	var best *paymentsv1.CodeMapping
	bestRank := -1
	for _, m := range l.mappings {
		if rank := l.rank(m, stream, year, pcn, practice); rank > bestRank {
			best, bestRank = m, rank
		}
	}
	if best == nil {
		return export.Segments{}, export.VAT{Treatment: export.NotAssessed}
	}
	treatment, stated := treatments[best.GetVatTreatment()]
	if !stated {
		treatment = export.NotAssessed
	}
	return export.Segments{
		Entity: best.GetEntity(), CostCentre: best.GetCostCentre(), Subjective: best.GetSubjective(), Analysis1: best.GetAnalysis1(),
		Analysis2: best.GetAnalysis2(), Spare: best.GetSpare(),
	}, export.VAT{Treatment: treatment, Code: best.GetVatCode()}
}

// rank says how closely a mapping fits; below zero it does not. Mappings come newest first, so that of equals the first stays.
func (l *layout) rank(m *paymentsv1.CodeMapping, stream string, year period.FinancialYear, pcn, practice string) int {
	on := l.on.String()
	if m.GetStream() != stream || m.GetEffectiveFrom() > on || (m.GetEffectiveTo() != "" && m.GetEffectiveTo() < on) {
		return -1
	}
	rank := 0
	switch m.GetFinancialYear() {
	case year.String():
		rank++
	case "":
	default:
		return -1
	}
	switch m.GetOrganisationCode() {
	case "":
	case practice:
		rank += 4
	case pcn:
		rank += 2
	default:
		return -1
	}
	return rank
}

// supplier returns how the ledger and the bank know a payee.
func (l *layout) supplier(payee string) export.Supplier {
	s := l.suppliers[payee]
	return export.Supplier{Number: s.GetSupplierNumber(), Site: s.GetSupplierSite(), PaymentGroup: s.GetPaymentGroup(), AccountToken: s.GetAccountToken()}
}

// refuseAccountsOf refuses to pay into accounts that a person has recorded since the run was put forward, if that person is the one
// who exports: no other has seen where the money goes.
func (l *layout) refuseAccountsOf(exporter string, run store.RunRow, payments []export.Payment) error {
	f := fault.New(fault.Denied, rules.ReasonExporterSetAccount,
		"the person who exports run %s has recorded accounts since it was put forward: another person exports it", run.ID)
	for i := range payments {
		payee := payments[i].Payee.Code
		if s := l.suppliers[payee]; s.GetRecordedBy() == exporter && !s.GetRecordedAt().AsTime().Before(sqldb.FromMicros(run.SubmittedAt)) {
			f = f.At("payee "+payee, "account token recorded by the same person")
		}
	}
	if len(f.Violations) > 0 {
		return f.With("payees", len(f.Violations))
	}
	return nil
}

// exportLine writes a line for a file.
func (l *layout) exportLine(row store.LineRow) (export.Line, error) {
	line := row.Line
	month, err := period.ParseMonth(line.GetForMonth())
	if err != nil {
		return export.Line{}, fault.Bug("line %s: %v", line.GetLineId(), err)
	}
	out := export.Line{
		LineID: line.GetLineId(), Kind: export.Scheduled, Fund: fundName(row.Fund), PaymentCode: line.GetPaymentCode(),
		FundingSource: line.GetFundingSource(), ForMonth: month, PCN: export.Party{Code: line.GetPcnCode(), Name: line.GetPcnName()},
		PracticeCode: line.GetPracticeCode(), Adjusts: line.GetAdjustsLineId() != "", Basis: basisText(line), Amount: money.Pence(line.GetAmountPence()),
	}
	if out.Adjusts {
		out.Cause = strings.TrimPrefix(line.GetAdjustmentCause().String(), "ADJUSTMENT_CAUSE_")
	}
	out.Codes, out.VAT = l.codes(line.GetPaymentCode(), month.FinancialYear(), line.GetPcnCode(), line.GetPracticeCode())
	return out, nil
}

// recoveryLine writes for a file what is taken off a payee for an overpayment, above zero, or left to later runs, below.
func (l *layout) recoveryLine(runID string, month period.Month, payee string, a rules.Amount) export.Line {
	out := export.Line{
		LineID: runID + "-recovery-" + fundName(a.Fund), Kind: export.Recovery, Fund: fundName(a.Fund), PaymentCode: streamRecovery,
		FundingSource: streamRecovery, ForMonth: month, Basis: "overpayment of earlier runs taken off", Amount: -a.Pence,
	}
	if a.Pence < 0 {
		out.Basis = "overpayment carried to later runs"
	}
	out.Codes, out.VAT = l.codes(streamRecovery, month.FinancialYear(), "", payee)
	return out
}

// claimed names the payments that are made on claims. A line says so itself, but there may be none yet.
var claimed = map[string]string{
	"ARRS_MAIN": "Additional roles reimbursement", "ARRS_GP": "Additional roles reimbursement for GPs",
	"ARRS_SINGLE": "Additional roles reimbursement", "ARRS_OFFER_CP": "Clinical pharmacist reimbursement",
	"ARRS_OFFER_SPLW": "Social prescribing link worker reimbursement",
}

const (
	// achieved is the payment for what a network achieved in a year.
	achieved = "IIF"
	// developed is the payment for what an approved plan of the development fund pays.
	developed = "PCN_DEVELOPMENT"
)

// basisText writes what a line rests on in words, such as £1.50 × 53,674 registered patients ÷ 12, 2 approved claims for 2022-04 to
// 2022-05, HI-03: achievement of the year, or Coaching (change management): tranche of 2022-04; empty where the line does not say.
func basisText(line *typev1.PaymentLine) string {
	basis := line.GetBasis()
	if code := line.GetPaymentCode(); claimed[code] != "" || code == achieved || code == developed {
		_, what, _ := strings.Cut(basis.GetClause(), ", ")
		return what
	}
	factors := make([]string, 0, len(basis.GetFactors()))
	for _, f := range basis.GetFactors() {
		factors = append(factors, "£"+pounds(f.GetRateGbp())+" × "+thousands(f.GetQuantity())+" "+quantityName(f))
	}
	text := strings.Join(factors, " + ")
	if text == "" {
		return ""
	}
	if len(factors) > 1 && (basis.GetInstalments() > 1 || basis.GetShare() != "") {
		text = "(" + text + ")"
	}
	if basis.GetShare() != "" {
		text += " × " + basis.GetShare()
	}
	if basis.GetInstalments() > 1 {
		text += " ÷ " + big.NewInt(int64(basis.GetInstalments())).String()
	}
	return text
}

// quantityName names what a factor counts, such as registered patients.
func quantityName(f *typev1.BasisFactor) string {
	per := strings.ReplaceAll(f.GetPer(), "_", " ")
	if per == "" {
		return f.GetUnit()
	}
	return per + "s"
}

// pounds writes a rate with at least two decimals.
func pounds(text string) string {
	whole, part, _ := strings.Cut(text, ".")
	return whole + "." + part + strings.Repeat("0", max(0, 2-len(part)))
}

// thousands parts the whole digits of a decimal in groups of three.
func thousands(text string) string {
	whole, part, pointed := strings.Cut(text, ".")
	digits := []byte(whole)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = slices.Insert(digits, i, ',')
	}
	if pointed {
		return string(digits) + "." + part
	}
	return string(digits)
}
