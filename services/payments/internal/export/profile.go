package export

import (
	"fmt"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
)

// Format names a finance file.
type Format string

// The formats.
const (
	Journal          Format = "JOURNAL"
	PayablesInvoices Format = "PAYABLES_INVOICES"
	PCSEVariation    Format = "PCSE_VARIATION"
	Remittance       Format = "REMITTANCE"
	Transparency     Format = "TRANSPARENCY"
	Pain001          Format = "PAIN001"
)

// SignRule says how a journal tells debit from credit.
type SignRule string

// The sign rules.
const (
	// DebitCredit has a column for each; no amount is negative.
	DebitCredit SignRule = "DEBIT_CREDIT"
	// DebitPositive has one column in which debits are positive.
	DebitPositive SignRule = "SIGNED_DEBIT_POSITIVE"
	// CreditPositive has one column in which credits are positive.
	CreditPositive SignRule = "SIGNED_CREDIT_POSITIVE"
)

// DateFormat says how days are written.
type DateFormat string

// The date formats, as in 2022-04-30, 30/04/2022, 30-APR-2022 and 20220430.
const (
	DateISO     DateFormat = "YYYY-MM-DD"
	DateSlashes DateFormat = "DD/MM/YYYY"
	DateLedger  DateFormat = "DD-MON-YYYY"
	DateCompact DateFormat = "YYYYMMDD"
)

// Column is one column of a file: a field of the record, or a constant where no field is named.
type Column struct {
	Header   string
	Field    Field
	Constant string
}

// Profile lays out a file. PAIN001 has no layout of its own and takes a profile of nothing but the format.
type Profile struct {
	Format     Format
	Columns    []Column
	Delimiter  rune // comma, semicolon, vertical bar or tab
	DateFormat DateFormat
	HeaderRow  bool
	SignRule   SignRule // for JOURNAL only
}

// Field names a value that a column can show.
type Field string

// The fields of the batch.
const (
	FieldExportID         Field = "export_id"
	FieldBatchName        Field = "batch_name" // commissioner, month and number, as in 16C-2022-04-1
	FieldCommissionerCode Field = "commissioner_code"
	FieldCommissionerName Field = "commissioner_name"
	FieldMonth            Field = "month"          // 2022-04
	FieldPeriodName       Field = "period_name"    // of the date, APR-22
	FieldFinancialYear    Field = "financial_year" // 2022/23
	FieldDate             Field = "date"           // accounting or, in TRANSPARENCY, transaction date
	FieldCurrency         Field = "currency"       // GBP
	FieldJournalSource    Field = "journal_source"
	FieldJournalCategory  Field = "journal_category"
	FieldDepartmentFamily Field = "department_family"
	FieldApprover         Field = "approver"
)

// The fields of a payment.
const (
	FieldReference      Field = "reference"
	FieldPayeeCode      Field = "payee_code"
	FieldPayeeName      Field = "payee_name"
	FieldSupplierNumber Field = "supplier_number"
	FieldSupplierSite   Field = "supplier_site"
	FieldPaymentGroup   Field = "payment_group"
	FieldPONumber       Field = "po_number"
	FieldAttachment     Field = "attachment"
	FieldReversal       Field = "reversal" // Y or N: JOURNAL, PAYABLES_INVOICES
)

// The fields of a line.
const (
	FieldLineID          Field = "line_id"
	FieldKind            Field = "kind"
	FieldFund            Field = "fund"
	FieldPaymentCode     Field = "payment_code"
	FieldFundingSource   Field = "funding_source"
	FieldForMonth        Field = "for_month"
	FieldForYear         Field = "for_financial_year"
	FieldPCNCode         Field = "pcn_code"
	FieldPCNName         Field = "pcn_name"
	FieldPracticeCode    Field = "practice_code"
	FieldBeneficiaryCode Field = "beneficiary_code" // the practice, else the network
	FieldAdjusts         Field = "adjusts"          // Y or N
	FieldCause           Field = "cause"
	FieldBasis           Field = "basis"
	FieldDescription     Field = "description"
	FieldEntity          Field = "entity"
	FieldCostCentre      Field = "cost_centre"
	FieldSubjective      Field = "subjective"
	FieldAnalysis1       Field = "analysis1"
	FieldAnalysis2       Field = "analysis2"
	FieldSpare           Field = "spare"
	FieldVATTreatment    Field = "vat_treatment"
	FieldVATCode         Field = "vat_code"
)

// The fields of some formats only.
const (
	FieldAmount             Field = "amount"      // in JOURNAL signed by the sign rule
	FieldRowType            Field = "row_type"    // HEADER and LINE of an invoice, LINE and TOTAL of a remittance, LINE and CONTROL of a journal
	FieldRowNumber          Field = "row_number"  // counts the rows of a payment from 1; 0 is the header of an invoice
	FieldDebit              Field = "debit"       // JOURNAL
	FieldCredit             Field = "credit"      // JOURNAL
	FieldGross              Field = "gross"       // PAYABLES_INVOICES: net and VAT
	FieldNet                Field = "net"         // PAYABLES_INVOICES
	FieldVATAmount          Field = "vat_amount"  // PAYABLES_INVOICES
	FieldScheduled          Field = "scheduled"   // REMITTANCE: what is neither an adjustment nor a recovery
	FieldAdjustment         Field = "adjustment"  // REMITTANCE: what corrects an earlier line
	FieldRecovered          Field = "recovered"   // REMITTANCE: what is taken back
	FieldPayeeTotal         Field = "payee_total" // REMITTANCE: what the payee gets, on its last row
	FieldParticipationMonth Field = "participation_month"
	FieldParticipationYear  Field = "participation_year"
)

var everyFile = []Field{
	FieldExportID, FieldBatchName, FieldCommissionerCode, FieldCommissionerName, FieldMonth, FieldPeriodName, FieldFinancialYear,
	FieldDate, FieldCurrency, FieldDepartmentFamily, FieldApprover,
	FieldReference, FieldPayeeCode, FieldPayeeName, FieldSupplierNumber, FieldSupplierSite, FieldPaymentGroup, FieldPONumber, FieldAttachment,
	FieldLineID, FieldKind, FieldFund, FieldPaymentCode, FieldFundingSource, FieldForMonth, FieldForYear, FieldPCNCode, FieldPCNName,
	FieldPracticeCode, FieldBeneficiaryCode, FieldAdjusts, FieldCause, FieldBasis, FieldDescription,
	FieldEntity, FieldCostCentre, FieldSubjective, FieldAnalysis1, FieldAnalysis2, FieldSpare, FieldVATTreatment, FieldVATCode,
}

// moneyFields are those that a reader of a file adds up, so that none stands in two columns.
var moneyFields = []Field{
	FieldAmount, FieldDebit, FieldCredit, FieldGross, FieldNet, FieldVATAmount, FieldScheduled, FieldAdjustment, FieldRecovered, FieldPayeeTotal,
}

// Fields returns the fields that the columns of a format can show; none for an unknown format or one that is not CSV.
func Fields(format Format) []Field {
	own, known := map[Format][]Field{
		Journal: {
			FieldJournalSource, FieldJournalCategory, FieldRowType, FieldRowNumber, FieldAmount, FieldDebit, FieldCredit, FieldReversal,
		},
		PayablesInvoices: {FieldRowType, FieldRowNumber, FieldGross, FieldNet, FieldVATAmount, FieldReversal},
		PCSEVariation:    {FieldAmount, FieldParticipationMonth, FieldParticipationYear},
		Remittance:       {FieldRowType, FieldAmount, FieldScheduled, FieldAdjustment, FieldRecovered, FieldPayeeTotal},
		Transparency:     {FieldAmount},
	}[format]
	if !known {
		return nil
	}
	return slices.Concat(everyFile, own)
}

// needed returns the fields without which money would be missing from a file, and those that would show it twice.
func (p *Profile) needed() (with, without []Field) {
	switch {
	case p.Format == Journal && p.SignRule == DebitCredit:
		return []Field{FieldDebit, FieldCredit}, []Field{FieldAmount}
	case p.Format == Journal:
		return []Field{FieldAmount}, []Field{FieldDebit, FieldCredit}
	case p.Format == PayablesInvoices:
		return []Field{FieldReference, FieldRowType, FieldGross}, nil
	default:
		return []Field{FieldAmount}, nil
	}
}

// shows tells whether a column of the file shows the field.
func (p *Profile) shows(field Field) bool {
	return slices.ContainsFunc(p.Columns, func(c Column) bool { return c.Field == field })
}

// Check returns a fault that names everything for which the profile cannot lay out its file, or nil.
func (p *Profile) Check() error {
	f := fault.New(fault.Invalid, ReasonProfileInvalid, "the %q profile cannot lay out its file", p.Format).With("format", p.Format)
	if p.Format == Pain001 {
		for _, part := range []struct {
			name   string
			stated bool
		}{
			{"columns", len(p.Columns) > 0},
			{"delimiter", p.Delimiter != 0},
			{"date_format", p.DateFormat != ""},
			{"sign_rule", p.SignRule != ""},
		} {
			if part.stated {
				f = f.At(part.name, "must be empty: the standard lays this file out")
			}
		}
		if len(f.Violations) > 0 {
			return f
		}
		return nil
	}
	fields := Fields(p.Format)
	if fields == nil {
		return f.At("format", fmt.Sprintf("%q is not a format", p.Format))
	}
	for i, column := range p.Columns {
		at := fmt.Sprintf("columns[%d]", i)
		switch {
		case column.Field != "" && column.Constant != "":
			f = f.At(at, "must have a field or a constant, not both")
		case column.Field != "" && !slices.Contains(fields, column.Field):
			f = f.At(at+".field", fmt.Sprintf("%q is not a field of this format", column.Field))
		}
		if p.HeaderRow && clean(column.Header) == "" {
			f = f.At(at+".header", "must not be empty in a file with a header row")
		}
	}
	if !slices.Contains([]rune{',', ';', '|', '\t'}, p.Delimiter) {
		f = f.At("delimiter", "must be a comma, a semicolon, a vertical bar or a tab")
	}
	if !slices.Contains([]DateFormat{DateISO, DateSlashes, DateLedger, DateCompact}, p.DateFormat) {
		f = f.At("date_format", fmt.Sprintf("%q is not a date format", p.DateFormat))
	}
	if p.Format == Journal && !slices.Contains([]SignRule{DebitCredit, DebitPositive, CreditPositive}, p.SignRule) {
		f = f.At("sign_rule", fmt.Sprintf("%q is not a sign rule", p.SignRule))
	}
	if p.Format != Journal && p.SignRule != "" {
		f = f.At("sign_rule", "is for journals only")
	}
	with, without := p.needed()
	for _, field := range with {
		if !p.shows(field) {
			f = f.At("columns", fmt.Sprintf("must show %q", field))
		}
	}
	for _, field := range without {
		if p.shows(field) {
			f = f.At("columns", fmt.Sprintf("must not show %q under this sign rule", field))
		}
	}
	shown := make(map[Field]int, len(p.Columns))
	for _, column := range p.Columns {
		shown[column.Field]++
	}
	for _, field := range moneyFields {
		if shown[field] > 1 {
			f = f.At("columns", fmt.Sprintf("must show %q once", field))
		}
	}
	if len(f.Violations) > 0 {
		return f
	}
	return nil
}
