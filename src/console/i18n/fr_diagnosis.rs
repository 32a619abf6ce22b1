//! Diagnoses and refused URLs in French.

use crate::webhook::{Explanation, Facts, UrlError};

/// Explains a diagnosis; `None` if its code has no French text.
pub(super) fn explain(facts: &Facts<'_>) -> Option<Explanation> {
    let (summary, advice) = words(facts.code)?;
    let mut summary = match facts.status {
        Some(status) => summary.replace("{}", &status.to_string()),
        None => summary.replace(" ({})", ""),
    };
    if let Some(quotation) = &facts.quotation {
        summary.push_str(&format!(" Il dit : « {quotation} »."));
    }
    Some(Explanation { summary, advice: (!advice.is_empty()).then(|| advice.to_owned()) })
}

const ANSWER_SOONER: &str = "Laissez le récepteur répondre 200 d’abord, et travailler ensuite (dans n8n, réglez Respond sur « Immediately »).";
const SEE_LOG: &str = "Voyez le journal du récepteur et de ce qui est devant lui.";

macro_rules! words {
    ($($($code:literal)|+ => $summary:literal, $advice:expr;)*) => {
        /// The meaning of a code, and advice.
        fn words(code: &str) -> Option<(&'static str, &'static str)> {
            Some(match code {
                $($($code)|+ => ($summary, $advice),)*
                _ => return None,
            })
        }
    };
}

words! {
    "delivered" => "Livré : le récepteur a répondu ({}).", "";
    "delivered_slowly" => "Livré, mais lentement ({}).", ANSWER_SOONER;
    "delivered_n8n_test" =>
        "Livré ({}) à l’URL de test de n8n, qui prend un seul appel.",
        "Pour de vrais appels, publiez le workflow et utilisez l’URL de production du nœud Webhook.";
    "delivered_to_a_page" =>
        "Livré ({}), mais la réponse est une page web.",
        "Si rien n’arrive là-bas, l’URL est peut-être celle d’une page et non d’un webhook.";
    "n8n_method" =>
        "Ce nœud Webhook de n8n n’accepte pas POST.",
        "Réglez HTTP Method sur POST dans le nœud Webhook, et publiez à nouveau le workflow.";
    "n8n_test_url" =>
        "n8n n’écoute pas à cette URL de test.",
        "Une URL de test prend un seul appel dans les 120 s. Utilisez l’URL de production du nœud Webhook.";
    "n8n_inactive" =>
        "n8n n’a pas de workflow actif pour cette URL.",
        "Publiez le workflow (Active), et comparez le chemin avec l’URL de production du nœud Webhook.";
    "n8n_credentials" =>
        "n8n refuse le webhook : son nœud Webhook veut une authentification.",
        "Donnez à ce webhook l’en-tête ou les identifiants Basic que le nœud demande ; ou réglez Authentication sur None, et vérifiez la signature dans le workflow.";
    "n8n_workflow_failed" =>
        "n8n a pris le webhook, et son workflow a échoué.",
        "Voyez Executions dans n8n pour trouver le nœud qui a échoué.";
    "make_queue_full" =>
        "La file de ce webhook chez Make est pleine.",
        "Activez le scénario ou lancez-le plus souvent, puis renvoyez le webhook.";
    "make_gone" =>
        "Chez Make, rien n’écoute ce webhook.",
        "Attachez le webhook à un scénario et activez-le. S’il a été supprimé, créez-en un autre et mettez son URL ici.";
    "make_rate" | "zapier_rate" | "too_many_requests" =>
        "Le récepteur limite le débit ({}).",
        "Les tentatives suivantes passent. Si cela arrive souvent, relevez sa limite.";
    "make_too_large" => "Le webhook dépasse les 5 Mo de Make ({}).", "";
    "zapier_too_large" => "Le webhook dépasse les 10 Mo de Zapier ({}).", "";
    "too_large" =>
        "Le contenu est trop grand pour le récepteur ({}).",
        "Relevez la limite du récepteur, et celle d’un proxy devant lui (client_max_body_size dans nginx).";
    "too_large_express" =>
        "Le contenu est trop grand pour l’Express du récepteur ({}).",
        "Sans réglage, ses analyseurs prennent 100 Ko : donnez à express.json ou express.raw l’option { limit: '10mb' }.";
    "too_large_fastify" =>
        "Le contenu est trop grand pour le Fastify du récepteur ({}).",
        "Donnez à Fastify, ou à la route, un bodyLimit plus grand : 10485760 pour 10 Mo.";
    "too_large_next" =>
        "Le contenu est trop grand pour le Next.js du récepteur ({}).",
        "Exportez config = { api: { bodyParser: { sizeLimit: '10mb' } } } dans la route d’API.";
    "too_large_nginx" =>
        "Le contenu est trop grand pour le nginx devant le récepteur ({}).",
        "Relevez client_max_body_size dans nginx, à 10m pour 10 Mo.";
    "too_large_apache" =>
        "Le contenu est trop grand pour l’Apache devant le récepteur ({}).",
        "Relevez LimitRequestBody dans Apache, à 10485760 pour 10 Mo.";
    "not_found_express" =>
        "L’Express du récepteur n’a pas de route pour un POST à ce chemin ({}).",
        "Donnez exactement ce chemin à app.post, ou copiez à nouveau l’URL.";
    "method_not_allowed_nginx" =>
        "nginx sert des fichiers à ce chemin, et un fichier n’accepte pas de POST ({}).",
        "Faites passer ce chemin au récepteur (proxy_pass), ou copiez à nouveau l’URL.";
    "make_scenario_failed" =>
        "Make a pris le webhook, et son scénario a échoué.",
        "Voyez History dans Make pour trouver le module qui a échoué.";
    "zapier_gone" =>
        "Zapier ne connaît plus cette adresse : le Zap est éteint ou supprimé.",
        "Activez le Zap, ou copiez à nouveau l’URL de son Catch Hook.";
    "ngrok" =>
        "Le tunnel ngrok à cette URL ne mène nulle part.",
        "Démarrez le tunnel et le programme derrière lui, et mettez l’URL que ngrok affiche.";
    "bot_protection" =>
        "Une protection contre les robots a répondu à la place du récepteur ({}).",
        "Laissez passer les POST vers cette URL (dans Cloudflare : une règle WAF avec l’action Skip).";
    "odd_status" => "Le récepteur a donné une réponse inattendue ({}).", "Y a-t-il un serveur web à cette URL ?";
    "redirect" | "redirect_loop" =>
        "Le récepteur a répondu par une redirection ({}).",
        "Les webhooks ne suivent pas les redirections : mettez l’URL https:// qui répond elle-même.";
    "redirect_login" =>
        "Le récepteur redirige vers une page de connexion ({}).",
        "Donnez aux webhooks une URL sans connexion, et vérifiez-y la signature.";
    "unauthorized" =>
        "Le récepteur refuse la signature, ou demande des identifiants ({}).",
        "A-t-il le secret actuel de ce webhook ? S’il demande des identifiants, donnez-les à ce webhook comme en-têtes.";
    "forbidden" =>
        "Le récepteur refuse la signature ou l’expéditeur ({}).",
        "A-t-il le secret actuel de ce webhook ? Sinon, un pare-feu ou une règle d’accès est peut-être devant lui.";
    "not_found" => "Il n’y a rien à ce chemin ({}).", "Copiez à nouveau l’URL depuis le récepteur.";
    "method_not_allowed" =>
        "Le récepteur n’accepte pas POST à cette URL ({}).",
        "Les webhooks sont des POST : faites-les accepter ici (dans n8n : HTTP Method du nœud Webhook).";
    "request_timeout" =>
        "Le récepteur n’a pas reçu toute la requête à temps ({}).",
        "Lit-il le contenu, ou quelque chose devant lui le retient-il ?";
    "gone" => "Le webhook a été supprimé chez le récepteur ({}).", "Créez-en un autre là-bas, ou supprimez celui-ci.";
    "length_required" =>
        "La longueur, qui est envoyée, n’arrive pas ({}).",
        "Un mandataire devant le récepteur enlève Content-Length : corrigez-le.";
    "unsupported_media_type" =>
        "Le récepteur n’accepte pas JSON ({}).",
        "Les webhooks sont de type application/json : faites-le accepter.";
    "rejected" =>
        "Le récepteur rejette la requête ({}).",
        "Voyez-en la raison dans son journal ; sa vérification est peut-être trop stricte.";
    "bad_gateway" =>
        "Un mandataire devant le récepteur n’en obtient pas de bonne réponse ({}).",
        "Le programme derrière le mandataire tourne-t-il, et au bon port ?";
    "unavailable" =>
        "Le récepteur est arrêté, démarre, ou est surchargé ({}).",
        "Le programme derrière le mandataire tourne-t-il ?";
    "gateway_timeout" => "Un mandataire a attendu le récepteur en vain ({}).", ANSWER_SOONER;
    "cloudflare" =>
        "Cloudflare n’obtient pas de réponse du serveur derrière lui ({}).",
        "Ce serveur tourne-t-il, son certificat est-il valable, et laisse-t-il passer Cloudflare ?";
    "server_error" =>
        "Le récepteur a échoué ({}).",
        "Voyez l’erreur dans son journal ; le même webhook peut être renvoyé ensuite.";
    "plain_http" => "http:// n’est pas permis.", "Mettez l’URL https:// du récepteur.";
    "name_not_found" =>
        "Le nom de cette URL n’existe pas.",
        "Est-il bien écrit, et dans le DNS public ? Le nom d’un tunnel vit aussi longtemps que le tunnel.";
    "resolver_failed" | "resolve_timed_out" =>
        "Le nom de cette URL n’a pas pu être cherché.",
        "Cela peut passer. Sinon, les serveurs de noms de ce domaine fonctionnent-ils ?";
    "not_public" =>
        "Cette URL mène à une adresse privée ; les webhooks ne vont qu’à des adresses publiques.",
        "Donnez au récepteur une adresse publique (un mandataire ou un tunnel).";
    "refused" =>
        "La connexion a été refusée : rien n’écoute à cette adresse.",
        "Le récepteur tourne-t-il, et à ce port ?";
    "unreachable" | "connect_failed" =>
        "Le récepteur ne peut pas être joint par le réseau.",
        "Son réseau fonctionne-t-il, et son adresse dans le DNS est-elle juste ?";
    "proxy_unreachable" | "proxy_broken" | "proxy_credentials" =>
        "Le mandataire par lequel ce service envoie les webhooks ne fonctionne pas.",
        "Le problème est de ce côté : l’exploitant du service doit le régler. Ce qui attend part dès que le mandataire fonctionne.";
    "proxy_refused" =>
        "Le mandataire par lequel ce service envoie les webhooks refuse ce récepteur.",
        "Demandez à l’exploitant du service d’autoriser ce récepteur dans les règles du mandataire.";
    "proxy_no_connection" =>
        "Le mandataire par lequel ce service envoie les webhooks n’a pas pu joindre le récepteur.",
        "Le récepteur tourne-t-il, à ce port, et son pare-feu laisse-t-il passer le mandataire ?";
    "connect_timed_out" =>
        "Le récepteur n’a pas accepté la connexion à temps.",
        "Un pare-feu arrête peut-être nos paquets, ou le récepteur est éteint.";
    "tls_timed_out" | "not_tls" | "tls_failed" =>
        "La connexion n’a pas pu être sécurisée.",
        "Le récepteur parle-t-il TLS 1.2 ou 1.3 à ce port, avec un certificat habituel ?";
    "answer_timed_out" => "Le récepteur n’a pas répondu à temps.", ANSWER_SOONER;
    "body_timed_out" =>
        "La réponse du récepteur n’a pas fini à temps.",
        "Laissez le récepteur finir sa réponse ; une courte suffit.";
    "closed" | "reset" | "broken" => "La connexion a été coupée avant la fin de la réponse.", SEE_LOG;
    "not_http" => "La réponse n’est pas du HTTP.", "Y a-t-il un serveur web à ce port ?";
    "head_too_large" =>
        "L’en-tête de la réponse est trop grand.",
        "Laissez le récepteur envoyer moins de champs et de cookies.";
    "certificate_expired" | "certificate_not_yet_valid" | "certificate_revoked" =>
        "Le certificat du récepteur n’est pas valable en ce moment.",
        "Renouvelez-le, et voyez pourquoi son renouvellement automatique s’est arrêté.";
    "certificate_wrong_name" =>
        "Le certificat du récepteur est pour un autre nom.",
        "Obtenez-en un pour ce nom, ou mettez l’URL avec un nom qu’il porte.";
    "certificate_not_trusted" =>
        "Le certificat du récepteur ne vient pas d’une autorité connue.",
        "Installez toute la chaîne (fullchain.pem) d’une autorité publique.";
    "stored_event" => "L’événement enregistré ne peut plus être lu.", "";
    "url" => "L’URL de ce webhook n’est pas permise.", "Changez-la, puis renvoyez la livraison.";
}

/// Why a URL is refused.
pub(super) fn url_error(error: &UrlError) -> String {
    match error {
        UrlError::NotAUrl => "ce n’est pas une URL : écrivez-la comme https://example.com/webhook".to_owned(),
        UrlError::NoScheme => "l’URL doit commencer par https://".to_owned(),
        UrlError::Whitespace => {
            "l’URL contient un espace ou un retour à la ligne : copiez-la à nouveau, d’un seul morceau".to_owned()
        }
        UrlError::Invisible { character, at } => {
            let code = u32::from(*character);
            format!("le caractère {at} de l’URL est invisible (U+{code:04X}) : supprimez-le, ou tapez l’URL")
        }
        UrlError::HtmlEntity { entity, character } => {
            format!("l’URL contient {entity}, comme le HTML écrit {character} : écrivez {character} à la place")
        }
        UrlError::Quoted(character) => {
            format!("l’URL contient {character}, qu’aucune URL ne contient : enlevez ce qui n’en fait pas partie")
        }
        UrlError::TooLong { bytes } => format!("l’URL a {bytes} octets : 2048 au plus sont permis"),
        UrlError::WrongScheme(scheme) => format!("le schéma {scheme}: n’est pas permis : utilisez https://"),
        UrlError::PlainHttp => "le schéma http:// n’est pas permis : utilisez https://".to_owned(),
        UrlError::NoHost => {
            "l’hôte de l’URL manque ou est faux : écrivez-la comme https://example.com/webhook".to_owned()
        }
        UrlError::NoPort => "le port de l’URL est faux : prenez 1 à 65535, ou laissez-le".to_owned(),
        UrlError::Credentials => {
            "l’URL contient un nom d’utilisateur ou un mot de passe : enlevez-les, et donnez-les comme identifiants Basic"
                .to_owned()
        }
        UrlError::Fragment => "l’URL contient un # : enlevez ce qui suit".to_owned(),
        UrlError::TrailingDot => "l’hôte de l’URL finit par un point : enlevez-le".to_owned(),
        UrlError::SingleLabel(host) => {
            format!("le nom {host} n’est pas complet : écrivez-le avec son domaine, comme {host}.example.com")
        }
        UrlError::InternalName(host) => {
            format!("le nom {host} est celui d’un réseau interne : les webhooks ne vont qu’à des adresses publiques")
        }
        UrlError::NotPublic(refused) => {
            format!("l’adresse {} n’est pas publique : les webhooks ne vont qu’à des adresses publiques", refused.address)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(code: &str, status: Option<u16>, quotation: Option<&str>) -> String {
        explain(&Facts { code, status, quotation: quotation.map(str::to_owned) }).unwrap().summary
    }

    #[test]
    fn an_explanation_has_the_status_and_the_quotation_of_its_facts() {
        let rejected = explained("rejected", Some(400), Some("no <b>"));
        assert_eq!(rejected, "Le récepteur rejette la requête (400). Il dit : « no <b> ».");
        assert!(!explained("refused", None, None).contains("{}"));
        let probe = explained("method_not_allowed", None, Some("GET"));
        assert_eq!(probe, "Le récepteur n’accepte pas POST à cette URL. Il dit : « GET ».");
        assert_eq!(explain(&Facts { code: "something_new", status: None, quotation: None }), None);
    }

    /// The parts of an English diagnosis that recognises a server's own answer.
    #[test]
    fn every_code_of_server_software_has_a_french_text() {
        let source = include_str!("../../webhook/diagnosis/software.rs");
        let constants = source.split("Words = (").skip(1);
        let codes: Vec<_> = constants.filter_map(|text| text.split('"').nth(1)).collect();
        assert_eq!(codes.len(), 7);
        for code in codes {
            assert!(explained(code, Some(413), None).contains("(413)"), "{code}");
        }
    }
}
