package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/nexero-vr/nexero/internal/apikey"
	"github.com/nexero-vr/nexero/internal/postgres"
)

func newTenants(env []string) *cobra.Command {
	command := &cobra.Command{Use: "tenants", Short: "Make and list tenants"}
	create := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a tenant",
		Long: `Make a tenant: 1 to 63 small letters, digits, dashes and underscores. Its first key or
its first batch makes it too; made here it can be given properties before.
A tenant that is there stays as it is.`,
		Args: cobra.ExactArgs(1),
	}
	list := &cobra.Command{Use: "list", Short: "List the tenants with their valid keys and described properties", Args: cobra.NoArgs}
	command.AddCommand(
		operate(create, env, func(cmd *cobra.Command, o operator, args []string) error {
			// Nobody could ever have a key of another name.
			if err := apikey.CheckTenant(args[0]); err != nil {
				return &exitError{code: exitUsage, err: err}
			}
			return o.withStore(cmd.Context(), func(store *postgres.Store) error {
				made, err := store.CreateTenant(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				said := "there is a tenant %s already\n"
				if made {
					said = "made tenant %s\n"
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), said, args[0])
				return err
			})
		}),
		operate(list, env, func(cmd *cobra.Command, o operator, _ []string) error {
			return o.withStore(cmd.Context(), func(store *postgres.Store) error {
				tenants, err := store.Tenants(cmd.Context())
				if err != nil {
					return err
				}
				table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				// A tabwriter reports its errors when it is flushed.
				_, _ = fmt.Fprintln(table, "NAME\tCREATED\tKEYS\tPROPERTIES")
				for _, t := range tenants {
					_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%d\n", t.Name, t.CreatedAt.UTC().Format(time.DateTime), t.Keys, t.Properties)
				}
				return table.Flush()
			})
		}),
	)
	return command
}
