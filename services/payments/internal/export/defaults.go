package export

import "github.com/pcnfunding/pcnfunding/pkg/fault"

// Default returns the layout of a format that a commissioner starts from, or a fault for an unknown format. No template of the
// national payment services is published: the columns are the logical fields an interchange needs, under names of our own, and
// every one can be renamed, moved, replaced or left out.
func Default(format Format) (Profile, error) {
	switch format {
	case Journal:
		return DefaultJournal(DebitCredit), nil
	case PayablesInvoices:
		return plain(format, payablesColumns()...), nil
	case PCSEVariation:
		return plain(format, variationColumns()...), nil
	case Remittance:
		return plain(format, remittanceColumns()...), nil
	case Transparency:
		return plain(format, transparencyColumns()...), nil
	case Pain001:
		return Profile{Format: Pain001}, nil
	default:
		return Profile{}, fault.New(fault.Invalid, ReasonProfileInvalid, "%q is not a format", format).At("format", "is not a format")
	}
}

// DefaultJournal returns the layout of a journal under a sign rule.
func DefaultJournal(rule SignRule) Profile {
	amounts := []Column{{Header: "Amount", Field: FieldAmount}}
	if rule == DebitCredit {
		amounts = []Column{{Header: "Debit", Field: FieldDebit}, {Header: "Credit", Field: FieldCredit}}
	}
	columns := []Column{
		{Header: "Batch Name", Field: FieldBatchName},
		{Header: "Period", Field: FieldPeriodName},
		{Header: "Accounting Date", Field: FieldDate},
		{Header: "Category", Field: FieldJournalCategory},
		{Header: "Source", Field: FieldJournalSource},
		{Header: "Currency", Field: FieldCurrency},
	}
	columns = append(columns, segmentColumns()...)
	columns = append(columns, amounts...)
	columns = append(columns,
		Column{Header: "Line Description", Field: FieldDescription},
		Column{Header: "Reference", Field: FieldReference},
		Column{Header: "Reversal", Field: FieldReversal},
	)
	out := plain(Journal, columns...)
	out.SignRule = rule
	return out
}

// OlderVariation returns the contract variation with columns A to H. The present one has A to J: a participation payment
// month and a participation or QOF financial year come ninth and tenth.
func OlderVariation() Profile { return plain(PCSEVariation, variationColumns()[:8]...) }

func plain(format Format, columns ...Column) Profile {
	return Profile{Format: format, Columns: columns, Delimiter: ',', DateFormat: DateISO, HeaderRow: true}
}

func segmentColumns() []Column {
	return []Column{
		{Header: "Entity", Field: FieldEntity},
		{Header: "Cost Centre", Field: FieldCostCentre},
		{Header: "Subjective", Field: FieldSubjective},
		{Header: "Analysis 1", Field: FieldAnalysis1},
		{Header: "Analysis 2", Field: FieldAnalysis2},
		{Header: "Spare", Field: FieldSpare},
	}
}

func payablesColumns() []Column {
	columns := []Column{
		{Header: "Row Type", Field: FieldRowType},
		{Header: "Row Number", Field: FieldRowNumber},
		{Header: "Supplier Number", Field: FieldSupplierNumber},
		{Header: "Supplier Site", Field: FieldSupplierSite},
		{Header: "Invoice Number", Field: FieldReference},
		{Header: "Invoice Date", Field: FieldDate},
		{Header: "Received Date", Field: FieldDate},
		{Header: "Currency", Field: FieldCurrency},
		{Header: "Gross", Field: FieldGross},
		{Header: "Net", Field: FieldNet},
		{Header: "VAT Amount", Field: FieldVATAmount},
		{Header: "VAT Code", Field: FieldVATCode},
		{Header: "Description", Field: FieldDescription},
	}
	columns = append(columns, segmentColumns()...)
	return append(columns,
		Column{Header: "Payment Group", Field: FieldPaymentGroup},
		Column{Header: "PO Number", Field: FieldPONumber},
		Column{Header: "Approver", Field: FieldApprover},
		Column{Header: "Attachment Reference", Field: FieldAttachment},
	)
}

// variationColumns are in the order A to J; the names of the official template are not known.
func variationColumns() []Column {
	return []Column{
		{Header: "Area", Field: FieldCommissionerCode},
		{Header: "Organisation Code", Field: FieldBeneficiaryCode},
		{Header: "Payee Code", Field: FieldPayeeCode},
		{Header: "Pay Code", Field: FieldPaymentCode},
		{Header: "Description", Field: FieldDescription},
		{Header: "Month", Field: FieldMonth},
		{Header: "Reference", Field: FieldReference},
		{Header: "Amount", Field: FieldAmount},
		{Header: "Participation Payment Month", Field: FieldParticipationMonth},
		{Header: "Participation/QOF Financial Year", Field: FieldParticipationYear},
	}
}

func remittanceColumns() []Column {
	return []Column{
		{Header: "Row Type", Field: FieldRowType},
		{Header: "Payee Code", Field: FieldPayeeCode},
		{Header: "Payee Name", Field: FieldPayeeName},
		{Header: "Commissioner Code", Field: FieldCommissionerCode},
		{Header: "Commissioner Name", Field: FieldCommissionerName},
		{Header: "Reference", Field: FieldReference},
		{Header: "Date", Field: FieldDate},
		{Header: "Period", Field: FieldForMonth},
		{Header: "Stream", Field: FieldPaymentCode},
		{Header: "PCN Code", Field: FieldPCNCode},
		{Header: "PCN Name", Field: FieldPCNName},
		{Header: "Practice Code", Field: FieldPracticeCode},
		{Header: "Calculation Basis", Field: FieldBasis},
		{Header: "Scheduled", Field: FieldScheduled},
		{Header: "Adjustment", Field: FieldAdjustment},
		{Header: "Recovered", Field: FieldRecovered},
		{Header: "Amount", Field: FieldAmount},
		{Header: "Cause", Field: FieldCause},
		{Header: "Line Reference", Field: FieldLineID},
		{Header: "Payee Total", Field: FieldPayeeTotal},
	}
}

func transparencyColumns() []Column {
	return []Column{
		{Header: "Department Family", Field: FieldDepartmentFamily},
		{Header: "Entity", Field: FieldCommissionerName},
		{Header: "Date", Field: FieldDate},
		{Header: "Expense Type", Field: FieldPaymentCode},
		{Header: "Expense Area", Field: FieldFund},
		{Header: "Supplier", Field: FieldPayeeName},
		{Header: "Transaction Number", Field: FieldReference},
		{Header: "Amount", Field: FieldAmount},
	}
}
