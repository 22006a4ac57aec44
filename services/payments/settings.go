package payments

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

// Kinds of choice.
const (
	kindExpectedFunds  = "expected_funds"
	kindApprovalPolicy = "approval_policy"
	kindExportProfile  = "export_profile/"
)

// Texts of an export profile.
const (
	textJournalSource      = "journal_source"
	textJournalCategory    = "journal_category"
	textDepartmentFamily   = "department_family"
	textApprover           = "approver"
	textPayerName          = "payer_name"
	textPayerToken         = "payer_account_token"
	textParticipationCodes = "participation_codes"
)

var (
	profileTexts = []string{
		textJournalSource, textJournalCategory, textDepartmentFamily, textApprover, textPayerName, textPayerToken, textParticipationCodes,
	}
	// accountToken is how the contract has tokens of suppliers written.
	accountToken = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._:-]{3,63}$`)
)

// SetSetting makes a choice that holds from a month on.
func (s *Service) SetSetting(ctx context.Context, req *paymentsv1.SetSettingRequest) (*paymentsv1.Setting, error) {
	if _, err := parseMonth("from_month", req.GetFromMonth()); err != nil {
		return nil, err
	}
	setting := &paymentsv1.Setting{CommissionerCode: req.GetCommissionerCode(), FromMonth: req.GetFromMonth(), Reason: req.GetReason()}
	kind, err := choose(setting, req)
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*paymentsv1.Setting, error) {
		setting := proto.CloneOf(setting)
		setting.SettingId, setting.SetBy, setting.SetAt = tx.NewID(), tx.By.Subject, timestamp(sqldb.Micros(tx.Now()))
		if err := store.InsertSetting(ctx, tx.Tx, kind, setting); err != nil {
			return nil, err
		}
		commissioner := req.GetCommissionerCode()
		if commissioner == "" {
			commissioner = store.England
		}
		if _, err := tx.Announce(ctx, "setting/"+commissioner, req.GetCommissionerCode(), &paymentsv1.SettingChanged{Setting: setting}); err != nil {
			return nil, err
		}
		summary := fmt.Sprintf("set %s from %s: %s", kind, req.GetFromMonth(), req.GetReason())
		return setting, tx.Record(ctx, "payments/settings/"+setting.GetSettingId(), req.GetCommissionerCode(), summary)
	})
}

// choose copies the choice of a request and names its kind.
func choose(setting *paymentsv1.Setting, req *paymentsv1.SetSettingRequest) (kind string, err error) {
	switch choice := req.GetChoice().(type) {
	case *paymentsv1.SetSettingRequest_ExpectedFunds:
		setting.Choice = &paymentsv1.Setting_ExpectedFunds{ExpectedFunds: choice.ExpectedFunds}
		return kindExpectedFunds, nil
	case *paymentsv1.SetSettingRequest_ApprovalPolicy:
		setting.Choice = &paymentsv1.Setting_ApprovalPolicy{ApprovalPolicy: choice.ApprovalPolicy}
		return kindApprovalPolicy, checkPolicy(choice.ApprovalPolicy)
	case *paymentsv1.SetSettingRequest_ExportProfile:
		setting.Choice = &paymentsv1.Setting_ExportProfile{ExportProfile: choice.ExportProfile}
		if _, err := profileFromProto(choice.ExportProfile); err != nil {
			return "", err
		}
		return kindExportProfile + formatName(choice.ExportProfile.GetFormat()), checkTexts(choice.ExportProfile.GetTexts())
	default:
		return "", fault.New(fault.Invalid, rules.ReasonSettingInvalid, "a setting makes one choice").At("choice", "one of expected_funds, approval_policy, export_profile")
	}
}

// checkTexts refuses texts that no file shows, and a token that is none: it could be the bank details themselves, and is not
// repeated.
func checkTexts(texts map[string]string) error {
	f := fault.New(fault.Invalid, rules.ReasonSettingInvalid, "the texts of a profile are %s", strings.Join(profileTexts, ", "))
	for _, name := range sortedKeys(texts) {
		if !slices.Contains(profileTexts, name) {
			f = f.At("export_profile.texts", fmt.Sprintf("%q is not among them", name))
		}
	}
	if token := texts[textPayerToken]; token != "" && !accountToken.MatchString(token) {
		f = f.At("export_profile.texts", textPayerToken+" must be a letter and 3 to 63 letters, digits, dots, underscores, colons or hyphens")
	}
	if len(f.Violations) > 0 {
		return f
	}
	return nil
}

// checkPolicy refuses a policy that names a person twice.
func checkPolicy(policy *paymentsv1.ApprovalPolicy) error {
	var subjects []string
	for _, limit := range policy.GetLimits() {
		if slices.Contains(subjects, limit.GetSubject()) {
			return fault.New(fault.Invalid, rules.ReasonSettingInvalid, "a person has one limit").At("approval_policy.limits", "names a person twice")
		}
		subjects = append(subjects, limit.GetSubject())
	}
	return nil
}

// ListSettings returns a page of choices.
func (s *Service) ListSettings(ctx context.Context, req *paymentsv1.ListSettingsRequest) (*paymentsv1.ListSettingsResponse, error) {
	by, err := pageOf(ctx, req.GetCommissionerCode(), req)
	if err != nil {
		return nil, err
	}
	var rows []*paymentsv1.Setting
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Settings(ctx, q, by)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(paymentsv1.ListSettingsResponse)
	out.Settings, out.NextPageToken = page.Cut(rows, by.Limit-1, (*paymentsv1.Setting).GetSettingId)
	return out, nil
}

// AddCodes records ledger segments, VAT treatments and suppliers.
func (s *Service) AddCodes(ctx context.Context, req *paymentsv1.AddCodesRequest) (*paymentsv1.AddCodesResponse, error) {
	if err := checkCodes(req); err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*paymentsv1.AddCodesResponse, error) {
		out := &paymentsv1.AddCodesResponse{Suppliers: int32(len(req.GetSuppliers()))} //nolint:gosec // the contract bounds it
		mappings := make([]*paymentsv1.CodeMapping, len(req.GetMappings()))
		for i, mapping := range req.GetMappings() {
			mappings[i] = proto.CloneOf(mapping)
			mappings[i].MappingId = tx.NewID()
			out.MappingIds = append(out.MappingIds, mappings[i].GetMappingId())
		}
		code, by := req.GetCommissionerCode(), tx.By.Subject
		suppliers := make([]*paymentsv1.Supplier, len(req.GetSuppliers()))
		for i, supplier := range req.GetSuppliers() {
			suppliers[i] = proto.CloneOf(supplier)
			suppliers[i].RecordedBy, suppliers[i].RecordedAt = by, timestamp(sqldb.Micros(tx.Now()))
		}
		if err := store.InsertMappings(ctx, tx.Tx, code, by, mappings); err != nil {
			return nil, err
		}
		if err := store.InsertSuppliers(ctx, tx.Tx, code, by, suppliers); err != nil {
			return nil, err
		}
		_, err := tx.Announce(ctx, "codes/"+code, code, &paymentsv1.CodesChanged{
			CommissionerCode: code, Mappings: int32(len(mappings)), Suppliers: out.GetSuppliers(), //nolint:gosec // the contract bounds it
		})
		if err != nil {
			return nil, err
		}
		summary := fmt.Sprintf("added %d code mappings and %d suppliers: %s", len(mappings), out.GetSuppliers(), req.GetReason())
		return out, tx.Record(ctx, "payments/codes/"+code, code, summary)
	})
}

// checkCodes refuses days and years that are not in the calendar, periods that end before they begin, a control account of one
// organisation, and a list of nothing.
func checkCodes(req *paymentsv1.AddCodesRequest) error {
	if len(req.GetMappings())+len(req.GetSuppliers()) == 0 {
		return fault.New(fault.Invalid, rules.ReasonSettingInvalid, "there is nothing to add").At("mappings", "give mappings or suppliers")
	}
	for i, m := range req.GetMappings() {
		field := fmt.Sprintf("mappings[%d].", i)
		if m.GetStream() == streamControl && m.GetOrganisationCode() != "" {
			return fault.New(fault.Invalid, rules.ReasonSettingInvalid, "the payables control account is one for all").
				At(field+"organisation_code", "must be empty for "+streamControl)
		}
		from, err := parseDate(field+"effective_from", m.GetEffectiveFrom())
		if err != nil {
			return err
		}
		if m.GetEffectiveTo() != "" {
			to, err := parseDate(field+"effective_to", m.GetEffectiveTo())
			if err != nil {
				return err
			}
			if to.Before(from) {
				return fault.New(fault.Invalid, rules.ReasonPeriodInvalid, "a mapping ends on %s, before it begins on %s", to, from).At(field+"effective_to", "must not be before effective_from")
			}
		}
		if m.GetFinancialYear() != "" {
			if _, err := parseYear(field+"financial_year", m.GetFinancialYear()); err != nil {
				return err
			}
		}
	}
	for i, supplier := range req.GetSuppliers() {
		if _, err := parseDate(fmt.Sprintf("suppliers[%d].effective_from", i), supplier.GetEffectiveFrom()); err != nil {
			return err
		}
	}
	return nil
}

// ListCodeMappings returns a page of code mappings.
func (s *Service) ListCodeMappings(ctx context.Context, req *paymentsv1.ListCodeMappingsRequest) (*paymentsv1.ListCodeMappingsResponse, error) {
	by, err := pageOf(ctx, req.GetCommissionerCode(), req)
	if err != nil {
		return nil, err
	}
	var rows []*paymentsv1.CodeMapping
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Mappings(ctx, q, store.MappingFilter{CommissionerCode: req.GetCommissionerCode(), Before: by.Before, Limit: by.Limit})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(paymentsv1.ListCodeMappingsResponse)
	out.Mappings, out.NextPageToken = page.Cut(rows, by.Limit-1, (*paymentsv1.CodeMapping).GetMappingId)
	return out, nil
}

// ListSuppliers returns a page of suppliers.
func (s *Service) ListSuppliers(ctx context.Context, req *paymentsv1.ListSuppliersRequest) (*paymentsv1.ListSuppliersResponse, error) {
	by, err := pageOf(ctx, req.GetCommissionerCode(), req)
	if err != nil {
		return nil, err
	}
	var rows []*paymentsv1.Supplier
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Suppliers(ctx, q, store.SupplierFilter{CommissionerCode: req.GetCommissionerCode(), After: by.Before, Limit: by.Limit})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(paymentsv1.ListSuppliersResponse)
	out.Suppliers, out.NextPageToken = page.Cut(rows, by.Limit-1, func(s *paymentsv1.Supplier) string { return s.GetPayeeCode() + " " + s.GetEffectiveFrom() })
	return out, nil
}
