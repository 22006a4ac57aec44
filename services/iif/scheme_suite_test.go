package iif_test

import (
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

const (
	official  = typev1.Confidence_CONFIDENCE_OFFICIAL
	candidate = typev1.Confidence_CONFIDENCE_CANDIDATE
	unknown   = typev1.Confidence_CONFIDENCE_UNKNOWN
)

// figure asks for a version of a figure of 2026/27; a part changes what is asked for.
func figure(parts ...func(*iifv1.AddFigureRequest)) *iifv1.AddFigureRequest {
	out := &iifv1.AddFigureRequest{FinancialYear: "2026-27", Source: "letter", Confidence: official}
	for _, part := range parts {
		part(out)
	}
	return out
}

func number(version, code string, field iifv1.ValueField, value string) func(*iifv1.AddFigureRequest) {
	return func(r *iifv1.AddFigureRequest) {
		r.Body = &iifv1.AddFigureRequest_Value{Value: &iifv1.SchemeValue{VersionId: version, IndicatorCode: code, Field: field, Value: value}}
	}
}

func schemeVersion(change func(*iifv1.SchemeVersion)) func(*iifv1.AddFigureRequest) {
	v := &iifv1.SchemeVersion{FromDate: "2026-04-01", ToDate: "2027-03-31", Points: "68", PayingIndicators: 3}
	change(v)
	return func(r *iifv1.AddFigureRequest) { r.Body = &iifv1.AddFigureRequest_Version{Version: v} }
}

func indicator(change func(*iifv1.SchemeIndicator)) func(*iifv1.AddFigureRequest) {
	i := &iifv1.SchemeIndicator{
		VersionId: "IIF-2026-04", IndicatorCode: "HI-03", CqrsCode: "HI03", Name: "Health checks", Area: "Inequalities",
		Kind: iifv1.IndicatorKind_PERCENTAGE, Direction: iifv1.Direction_HIGHER, Status: iifv1.IndicatorStatus_ACTIVE,
		NumeratorFrom: iifv1.CountsFeed_EXTRACT, DenominatorFrom: iifv1.CountsFeed_EXTRACT,
	}
	change(i)
	return func(r *iifv1.AddFigureRequest) { r.Body = &iifv1.AddFigureRequest_Indicator{Indicator: i} }
}

func override(code, share string) func(*iifv1.AddFigureRequest) {
	return func(r *iifv1.AddFigureRequest) {
		r.Body = &iifv1.AddFigureRequest_Override{Override: &iifv1.NationalOverride{IndicatorCode: code, ShareOfPoints: share}}
	}
}

func paymentRun(approveBy, payOn string, deadline bool) func(*iifv1.AddFigureRequest) {
	return func(r *iifv1.AddFigureRequest) {
		r.Body = &iifv1.AddFigureRequest_PaymentRun{PaymentRun: &iifv1.PaymentRun{ApproveBy: approveBy, PayOn: payOn, Deadline: deadline}}
	}
}

func of(year string) func(*iifv1.AddFigureRequest) {
	return func(r *iifv1.AddFigureRequest) { r.FinancialYear = year }
}

func held(confidence typev1.Confidence) func(*iifv1.AddFigureRequest) {
	return func(r *iifv1.AddFigureRequest) { r.Confidence = confidence }
}

func by(commissioner string) func(*iifv1.AddFigureRequest) {
	return func(r *iifv1.AddFigureRequest) { r.CommissionerCode = commissioner }
}

// tryAdd adds a figure and returns the reason for which it was refused, if it was.
func (s *suite) tryAdd(t *testing.T, who auth.Principal, req *iifv1.AddFigureRequest) (*iifv1.Figure, string) {
	t.Helper()
	req.RequestId = s.next()
	out, err := s.iif.AddFigure(s.as(t, who), req)
	if err != nil {
		require.NotEmpty(t, reason(err), "%v", err)
	}
	return out, reason(err)
}

func (s *suite) add(t *testing.T, parts ...func(*iifv1.AddFigureRequest)) *iifv1.Figure {
	t.Helper()
	return s.addAs(t, testkit.Approver("*"), parts...)
}

func (s *suite) addAs(t *testing.T, who auth.Principal, parts ...func(*iifv1.AddFigureRequest)) *iifv1.Figure {
	t.Helper()
	req := figure(parts...)
	req.RequestId = s.next()
	out, err := s.iif.AddFigure(s.as(t, who), req)
	require.NoError(t, err, "%v", req)
	return out
}

func (s *suite) confirm(t *testing.T, id string, change ...func(*iifv1.ConfirmFigureRequest)) (*iifv1.Figure, error) {
	t.Helper()
	req := &iifv1.ConfirmFigureRequest{RequestId: s.next(), FigureId: id, Source: "circular", Confidence: official}
	for _, c := range change {
		c(req)
	}
	return s.iif.ConfirmFigure(s.as(t, testkit.Approver("*")), req)
}

func (s *suite) listed(t *testing.T, who auth.Principal, req *iifv1.ListFiguresRequest) []*iifv1.Figure {
	t.Helper()
	out, err := s.iif.ListFigures(s.as(t, who), req)
	require.NoError(t, err)
	return out.GetFigures()
}

func (s *suite) governs(t *testing.T, req *iifv1.GetSchemeRequest) *iifv1.SchemeTerms {
	t.Helper()
	out, err := s.iif.GetScheme(s.as(t, testkit.Auditor("*")), req)
	require.NoError(t, err)
	return out
}

// terms returns what the rules go by.
func (s *suite) terms(t *testing.T, q rules.Query, upTo int64) *rules.Terms {
	t.Helper()
	scheme, _, err := s.service.SchemeUpTo(t.Context(), upTo)
	require.NoError(t, err)
	out, err := rules.TermsFor(scheme, q)
	require.NoError(t, err)
	return out
}

// listed50k is a PCN of 50,000 registered patients on 1 January 2026.
func listed50k() *rules.Network {
	return &rules.Network{
		PCN: "U1", ListSize: rules.Given{Value: big.NewRat(50_000, 1)},
		List: rules.List{Kind: rules.RegisteredList, On: period.NewDate(2026, time.January, 1)},
	}
}
