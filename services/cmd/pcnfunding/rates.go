package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

type ratesCommand struct {
	List    ratesListCommand    `cmd:"" help:"List rates; --waiting for those that wait for a figure or a confirmation."`
	Add     ratesAddCommand     `cmd:"" help:"Add a version of a rate."`
	Confirm ratesConfirmCommand `cmd:"" help:"Confirm a candidate, or enter the figure of an unknown rate."`
}

type ratesListCommand struct {
	client  `embed:""`
	Payment string `help:"Only this payment."`
	On      string `help:"Only rates whose period holds this day, YYYY-MM-DD."`
	Waiting bool   `help:"Only candidate and unknown rates."`
	All     bool   `help:"Replaced versions too."`
}

// Run prints the rates as a table.
func (r *ratesListCommand) Run(ctx context.Context) error {
	return r.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "rate\tfrom\tto\t£ per unit\tunit\tconfidence\tcommissioner\tsource")
		req := &corev1.ListRatesRequest{PaymentCode: r.Payment, OnDate: r.On, NotPayableOnly: r.Waiting, IncludeSuperseded: r.All, PageSize: 1000}
		for {
			answer, err := suite.core.ListRates(ctx, req)
			if err != nil {
				return err
			}
			for _, rate := range answer.GetRates() {
				figure := rate.GetRateGbp()
				if figure == "" {
					figure = "not known"
				}
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", rate.GetRateId(), rate.GetEffectiveFrom(), rate.GetEffectiveTo(), figure,
					strings.ToLower(rate.GetUnit().String()), confidenceName(rate.GetConfidence()), rate.GetCommissionerCode(), rate.GetSource())
			}
			if req.PageToken = answer.GetNextPageToken(); req.GetPageToken() == "" {
				return w.Flush()
			}
		}
	})
}

func confidenceName(c typev1.Confidence) string {
	return strings.ToLower(strings.TrimPrefix(c.String(), "CONFIDENCE_"))
}

func confidenceOf(name string) typev1.Confidence {
	return typev1.Confidence(typev1.Confidence_value["CONFIDENCE_"+strings.ToUpper(name)])
}

type ratesAddCommand struct {
	client       `embed:""`
	Payment      string `arg:"" help:"Payment, such as ENHANCED_ACCESS."`
	Rate         string `arg:"" help:"Pounds per unit for the whole period."`
	From         string `help:"First day of the period, YYYY-MM-DD." required:""`
	To           string `help:"Last day of the period, YYYY-MM-DD." required:""`
	Component    string `help:"Component, such as REGISTERED."`
	Monthly      string `help:"Published pounds per unit and month."`
	Source       string `help:"Where the figure is published." required:""`
	Confidence   string `help:"official, secondary, inferred or candidate." required:"" enum:"official,secondary,inferred,candidate"`
	Label        string `help:"Version label." default:"revised"`
	KnownFrom    string `help:"Day of publication, YYYY-MM-DD; without one, today."`
	Commissioner string `help:"Commissioner it holds for; without one, all of England."`
	Note         string `help:"What else is known."`
}

// Run adds the version.
func (r *ratesAddCommand) Run(ctx context.Context) error {
	role := optionsv1.Role_ROLE_FINANCE_APPROVER
	if r.Confidence == "candidate" {
		role = optionsv1.Role_ROLE_FINANCE_PREPARER
	}
	return r.withClients(role, func(suite clients) error {
		rate, err := suite.core.AddRate(ctx, &corev1.AddRateRequest{
			RequestId: newRequestID(), CommissionerCode: r.Commissioner, PaymentCode: r.Payment, Component: r.Component,
			EffectiveFrom: r.From, EffectiveTo: r.To, RateGbp: r.Rate, MonthlyRateGbp: r.Monthly, Source: r.Source,
			Confidence: confidenceOf(r.Confidence), Version: r.Label, KnownFrom: r.KnownFrom, Note: r.Note,
		})
		if err == nil {
			fmt.Printf("added %s: £%s for %s to %s\n", rate.GetRateId(), rate.GetRateGbp(), rate.GetEffectiveFrom(), rate.GetEffectiveTo())
		}
		return err
	})
}

type ratesConfirmCommand struct {
	client       `embed:""`
	RateID       string `arg:"" help:"Candidate or unknown rate."`
	Rate         string `help:"Pounds per unit for the whole period; needed where there is no figure yet."`
	Source       string `help:"Where the figure is published." required:""`
	Confidence   string `help:"official, secondary or inferred." required:"" enum:"official,secondary,inferred"`
	Commissioner string `help:"Commissioner it is confirmed for; without one, all of England."`
	Note         string `help:"Why."`
}

// Run confirms the rate.
func (r *ratesConfirmCommand) Run(ctx context.Context) error {
	return r.withClients(optionsv1.Role_ROLE_FINANCE_APPROVER, func(suite clients) error {
		rate, err := suite.core.ConfirmRate(ctx, &corev1.ConfirmRateRequest{
			RequestId: newRequestID(), CommissionerCode: r.Commissioner, RateId: r.RateID, RateGbp: r.Rate, Source: r.Source,
			Confidence: confidenceOf(r.Confidence), Note: r.Note,
		})
		if err == nil {
			fmt.Printf("confirmed %s as %s: £%s\n", r.RateID, rate.GetRateId(), rate.GetRateGbp())
		}
		return err
	})
}
